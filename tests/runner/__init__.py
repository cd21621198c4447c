"""A small runner for tests that need a real Airflow, and for the demo."""

from __future__ import annotations

from tests.runner.airflow import COMPONENTS, ComponentDied, RealAirflow
from tests.runner.api import AirflowApi, ApiError, RunEnded

__all__ = ["COMPONENTS", "AirflowApi", "ApiError", "ComponentDied", "RealAirflow", "RunEnded"]
