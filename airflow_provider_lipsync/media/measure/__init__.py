"""How long a medium is: small ones by decoding them, large ones by their headers, indexes and ends."""
