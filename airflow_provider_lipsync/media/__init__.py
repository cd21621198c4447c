"""Media outside the API: how long they are, public URLs for them, keeping finished videos safe."""
