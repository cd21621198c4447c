"""Media outside the API: keeping finished videos safe."""
