"""Webhooks in a real Airflow: everything that may happen to a delivery, played at once."""
