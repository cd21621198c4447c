"""Apache Airflow provider for the Lipsync API: a picture or a video plus speech becomes a lip-synced video."""

from __future__ import annotations

__version__ = "0.1.0"
