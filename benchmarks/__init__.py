"""What this package costs: ``make bench``. Nothing here is a test, nothing here is in the package."""
