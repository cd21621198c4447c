"""The vendor's HTTP API; imports nothing of Airflow and is usable alone."""
