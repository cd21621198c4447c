"""How the application closes a connection with no answer, or in the middle of one, which ASGI knows no way to say.

Both of uvicorn's protocols copy ``app_state`` into the scope of every request: what closes the connection is put there.
"""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
from starlette.types import Receive, Scope
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from airflow_provider_lipsync.sandbox.waits import until_disconnect

__all__ = ["build_protocol", "hang_up"]

_CLOSE = "lipsync.close_connection"


def build_protocol(base: type[Any] = AutoHTTPProtocol) -> type[asyncio.Protocol]:
    """Return one of uvicorn's HTTP protocols, whose connections the application can close.

    :param base: ``H11Protocol`` or ``HttpToolsProtocol``; by default the one that uvicorn takes.
    """

    class ClosableProtocol(base):  # type: ignore[misc]
        app_state: dict[str, Any]

        def connection_made(self, transport: asyncio.Transport) -> None:
            self.app_state = {**self.app_state, _CLOSE: transport.close}
            super().connection_made(transport)

    return ClosableProtocol


async def hang_up(scope: Scope, receive: Receive, *, how: str = "without sending a response") -> None:
    """Close the connection, once what was written has left, and return when it is gone.

    :param how: what the client had got, for the error below.
    :raises httpx.RemoteProtocolError: there is no connection, since the application was called in process; it is what
        httpx says of a real one.
    """
    close = scope.get("state", {}).get(_CLOSE)
    if close is None:
        raise httpx.RemoteProtocolError(f"Server disconnected {how}.")
    close()
    await until_disconnect(receive)
