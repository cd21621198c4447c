"""An auth manager that keeps the XComs of one DAG from one user: Airflow's simple one knows no such thing."""

from __future__ import annotations

from typing import Any

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager

DENIED = {"ben": ("hidden",)}


class Guard(SimpleAuthManager):
    """Ben may see that the DAG is there, and nothing that its tasks handed on."""

    def is_authorized_dag(
        self, *, method: Any, user: Any, access_entity: Any = None, details: Any = None, **rest: Any
    ) -> bool:
        if access_entity is DagAccessEntity.XCOM and (details is None or details.id in DENIED.get(user.username, ())):
            return False
        return super().is_authorized_dag(method=method, user=user, access_entity=access_entity, details=details, **rest)
