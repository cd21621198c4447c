"""The line to the vendor for one connection: who asks, where, how often. The connection is looked up once, and anew
now and then, so that a key that was rotated is picked up without a restart.
"""

from __future__ import annotations

import asyncio
import logging
from contextvars import Context

from airflow.providers.common.compat.sdk import AirflowNotFoundException

from airflow_provider_lipsync.api.looking import Looker
from airflow_provider_lipsync.api.models import Job
from airflow_provider_lipsync.exceptions import (
    LipsyncError,
    LipsyncKeyRefused,
    LipsyncMisconfigured,
    LipsyncPollFault,
)
from airflow_provider_lipsync.hooks.lipsync import LipsyncHook
from airflow_provider_lipsync.hooks.settings import ConnectionSettings
from airflow_provider_lipsync.jobs.clock import Clock

__all__ = ["Line"]

log = logging.getLogger(__name__)

RENEWED_SECONDS = 300.0  # how old what is known of a connection may be
_LONGEST_LOOK_UP = 30.0  # seconds: without an answer by then, it could not be looked up now
_AT_ONCE_SECONDS = 5.0  # how young it must be for a refused key to be its last word


class Line:
    """Looks at jobs by an Airflow connection. It belongs to one event loop; close it.

    :param conn_id: id of the connection.
    """

    def __init__(self, conn_id: str, *, clock: Clock) -> None:
        self.conn_id = conn_id
        self._clock = clock
        self._settings: ConnectionSettings | None = None
        self._looker: Looker | None = None
        self._asking: asyncio.Task[ConnectionSettings] | None = None
        self._renewing = asyncio.Lock()
        self._renewed_at = 0.0

    @property
    def max_connections(self) -> int:
        """How many looks may be on their way at once."""
        return 1 if self._settings is None else self._settings.max_connections

    @property
    def max_polls_per_second(self) -> float:
        """How many looks a second may leave at the most, as the connection says by now."""
        return 1.0 if self._settings is None else self._settings.max_polls_per_second

    async def settings(self) -> ConnectionSettings:
        """Return what is known of the connection, looked up if nothing is.

        :raises LipsyncMisconfigured: the connection cannot be used.
        :raises LipsyncPollFault: it could not be looked up now.
        """
        if self._settings is None:
            self._settings = await self._look_up()
            self._renewed_at = self._clock.now()
        return self._settings

    async def look(self, job_id: str) -> Job | LipsyncError | None:
        """Return the job, the error of the look, or None where the job goes on as expected.

        A refused key makes it look the connection up, and ask again if there is another one by now.
        """
        if self._is_older_than(RENEWED_SECONDS):
            await self._renew(older_than=RENEWED_SECONDS)
        looker = self._present()
        found = await self._look_by(looker, job_id)
        if isinstance(found, LipsyncKeyRefused):
            if looker is self._looker:
                await self._renew(older_than=_AT_ONCE_SECONDS)
            if looker is not self._looker:
                found = await self._look_by(self._present(), job_id)
        return found

    async def aclose(self) -> None:
        """Close every connection."""
        looker, self._looker = self._looker, None
        if looker is not None:
            await looker.aclose()

    def _is_older_than(self, seconds: float) -> bool:
        """Whether what is known of the connection is; a clock that was set back makes it so: nobody knows how old."""
        return not 0.0 <= self._clock.now() - self._renewed_at < seconds

    def _present(self) -> Looker:
        if self._looker is None:
            assert self._settings is not None
            self._looker = Looker(self._settings.for_client())
        return self._looker

    async def _look_by(self, looker: Looker, job_id: str) -> Job | LipsyncError | None:
        try:
            return await looker.look(job_id)
        finally:
            if looker is not self._looker and not looker.in_flight:
                await looker.aclose()

    async def _look_up(self) -> ConnectionSettings:
        try:
            async with asyncio.timeout(_LONGEST_LOOK_UP):
                return await asyncio.shield(self._asked())
        except LipsyncError:
            raise
        except AirflowNotFoundException as error:
            raise LipsyncMisconfigured(f"there is no connection {self.conn_id!r}: {error}") from None
        except Exception as error:
            raise LipsyncPollFault(
                f"the connection {self.conn_id!r} could not be looked up: {type(error).__name__}"
            ) from error

    def _asked(self) -> asyncio.Task[ConnectionSettings]:
        """Ask Airflow, or go on with a question that it has not answered yet.

        It is asked to the end whoever is cancelled or gives up meanwhile: on Airflow 3.1 an answer that nobody takes is
        taken for that of the next question, and the whole triggerer breaks.
        """
        asking = self._asking
        if asking is None:
            hook = LipsyncHook(lipsync_conn_id=self.conn_id)
            self._asking = asking = asyncio.get_running_loop().create_task(hook.asettings(), context=Context())
            asking.add_done_callback(self._answered, context=Context())
        return asking

    def _answered(self, asking: asyncio.Task[ConnectionSettings]) -> None:
        self._asking = None
        if not asking.cancelled():
            asking.exception()  # told to whoever waits for it; where nobody does, nobody needs it

    async def _renew(self, *, older_than: float) -> None:
        """Look the connection up, once for all who ask meanwhile; what cannot be looked up stays as it was."""
        async with self._renewing:
            if not self._is_older_than(older_than):
                return
            self._renewed_at = self._clock.now()
            try:
                settings = await self._look_up()
            except LipsyncError as error:
                log.warning("%s. Looking on with what was known of it.", error.message)
                return
            before, self._settings = self._settings, settings
            if before is not None and before.for_client() != settings.for_client():
                log.info("The connection %r changed: looking on by what it says now.", self.conn_id)
                replaced, self._looker = self._looker, None
                if replaced is not None and not replaced.in_flight:
                    await replaced.aclose()
