"""LipsyncHook: from an Airflow connection to the API's clients. Nothing is opened before a client is asked for."""

from __future__ import annotations

import socket
import uuid
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow.providers.common.compat.sdk import BaseHook

from airflow_provider_lipsync.exceptions import (
    LipsyncError,
    LipsyncKeyRefused,
    LipsyncUnknownJob,
)
from airflow_provider_lipsync.get_provider_info import get_provider_info
from airflow_provider_lipsync.hooks.settings import ConnectionSettings, read_connection

if TYPE_CHECKING:
    from airflow_provider_lipsync.api.client import AsyncLipsyncClient, LipsyncClient
    from airflow_provider_lipsync.api.models import Job
    from airflow_provider_lipsync.media.web import Web

__all__ = ["LipsyncHook"]

_WIDGETS = {"integer": "IntegerField", "string": "StringField", "boolean": "BooleanField"}


class LipsyncHook(BaseHook):
    """Connects to the Lipsync API.

    :param lipsync_conn_id: a connection of type ``lipsync``: its password is the API key, its host the base URL
        (default the vendor's), its extras ``http_timeout`` (seconds), ``max_connections``,
        ``max_polls_per_second``, ``adaptive_polling``, ``typical_seconds_low``, ``typical_seconds_high``,
        ``ledger_path``, ``staging_path``, ``public_url_base``, ``max_input_mb``, ``max_output_mb``,
        ``max_credits_per_job`` and ``allow_private_output_hosts``.
    """

    conn_name_attr = "lipsync_conn_id"
    default_conn_name = "lipsync_default"
    conn_type = "lipsync"
    hook_name = "Lipsync"

    def __init__(self, *, lipsync_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.lipsync_conn_id = lipsync_conn_id
        self._settings: ConnectionSettings | None = None
        self._client: LipsyncClient | None = None
        self._async_client: AsyncLipsyncClient | None = None

    @property
    def settings(self) -> ConnectionSettings:
        """The connection, looked up once.

        :raises LipsyncMisconfigured: the connection cannot be used.
        """
        if self._settings is None:
            self._settings = read_connection(self.get_connection(self.lipsync_conn_id))
        return self._settings

    @property
    def client(self) -> LipsyncClient:
        """The synchronous client, made once; close it by :meth:`close`."""
        if self._client is None:
            from airflow_provider_lipsync.api.client import LipsyncClient

            self._client = LipsyncClient(self.settings.target.api_key, **self.settings.client_arguments())
        return self._client

    def get_conn(self) -> LipsyncClient:
        """Return the synchronous client; the same as :attr:`client`."""
        return self.client

    async def asettings(self) -> ConnectionSettings:
        """Return the connection, looked up once without blocking the loop; see :attr:`settings`."""
        if self._settings is None:
            self._settings = read_connection(await self.aget_connection(self.lipsync_conn_id))
        return self._settings

    async def aget_client(self) -> AsyncLipsyncClient:
        """Return the asynchronous client, made once; the connection is looked up without blocking the loop."""
        settings = await self.asettings()
        if self._async_client is None:
            from airflow_provider_lipsync.api.client import AsyncLipsyncClient

            self._async_client = AsyncLipsyncClient(settings.target.api_key, **settings.client_arguments())
        return self._async_client

    def look(self, job_id: str) -> Job | LipsyncError:
        """Return a job, or why it could not be seen: a value, since this says nothing about the job."""
        try:
            return self.client.get_job(job_id)
        except LipsyncError as error:
            return error

    def open_web(self) -> Web:
        """Return a fetcher of media and finished videos; close it.

        It reaches private addresses only where the API itself has one (the sandbox), or the connection allows it.
        """
        from airflow_provider_lipsync.media.web import Web

        return Web(may_be_private=self._may_be_private)

    def _may_be_private(self) -> bool:
        if self.settings.allow_private_output_hosts:
            return True
        from airflow_provider_lipsync.media.addresses import is_public

        host = urlsplit(self.settings.target.base_url).hostname or ""
        try:
            found = socket.getaddrinfo(host, None)
        except OSError:
            return False
        return not all(is_public(str(address[0])) for *_, address in found)

    def close(self) -> None:
        """Close the synchronous client."""
        if self._client is not None:
            self._client.close()
            self._client = None

    async def aclose(self) -> None:
        """Close the asynchronous client."""
        if self._async_client is not None:
            await self._async_client.aclose()
            self._async_client = None

    def test_connection(self) -> tuple[bool, str]:
        """Try the connection without spending anything: ask for a job that cannot exist.

        :return: whether the server answered and did not refuse the key, and a sentence for the form.
        """
        try:
            job = self.client.get_job(str(uuid.uuid4()))
        except LipsyncUnknownJob:
            return True, "The server answered and did not refuse the key. Nothing was spent."
        except LipsyncKeyRefused as error:
            return False, f"The server refused the API key ({error.status}). {error.vendor_message}".strip()
        except LipsyncError as error:
            status = "" if error.status is None else f" [HTTP {error.status}]"
            return False, f"{error.message}{status}. {error.vendor_message}".strip()
        except Exception as error:  # noqa: BLE001 - the form shows a sentence, whatever happens
            return False, f"The connection cannot be used: {type(error).__name__}: {error}"
        finally:
            self.close()
        return False, f"The server claims to know a job that cannot exist ({job.id}): it is not the Lipsync API."

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return the form's labels for Airflow 3.1; later versions read them from the provider info."""
        behaviour = _form()["ui-field-behaviour"]
        return {name.replace("-", "_"): value for name, value in behaviour.items()}

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the form's extra fields for Airflow 3.1; later versions read them from the provider info."""
        import wtforms
        from wtforms.validators import Optional

        return {
            name: getattr(wtforms, _WIDGETS[definition["schema"]["type"][0]])(
                definition["label"], validators=[Optional()], description=definition["description"]
            )
            for name, definition in _form()["conn-fields"].items()
        }


def _form() -> dict[str, Any]:
    connection_type: dict[str, Any] = get_provider_info()["connection-types"][0]
    return connection_type
