"""What the transfer costs, beside curl and ``shutil.copyfileobj`` over httpx."""
