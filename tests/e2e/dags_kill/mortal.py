"""Operators that die or wait at a named point of their first try, as the run's conf says; the product has no hooks.

Conf: ``{"die": point, "hold": [points], "map_index": number, "connection": id}``. A point is one of:

``id_came``      the submit was answered and told in the log; its id is not yet in the ledger
``id_stored``    the id is in the ledger; the task is about to defer
``deferred``     the deferral is recorded, and the process has not ended (hold only)
``waiting``      the task waits for its job in place, not deferred
``resumed``      the first line of ``execute_complete``
``done``         ``execute_complete`` returned; Airflow has not recorded the success
``recorded``     Airflow has recorded the success; the ledger has not
``downloading``  part of the video was written
``stored``       the video stands under its path, its receipt does not
``described``    its receipt stands, too
"""

from __future__ import annotations

import atexit
import os
import signal
import time
from pathlib import Path

from airflow.sdk import get_current_context

from airflow_provider_lipsync import LipsyncImageOperator, LipsyncToObjectStorageOperator

MARKERS = Path(os.environ.get("KILL_MARKERS", "/nonexistent"))
WRITTEN_AT_ONCE = 4096  # bytes: the sandbox's canned video is ten times as long


def reach(point, context=None):
    context = context or get_current_context()
    conf = context["dag_run"].conf
    if _is_meant(conf, context["ti"]) and conf.get("die") == point:
        os.kill(os.getpid(), signal.SIGKILL)
    if _is_meant(conf, context["ti"]) and point in conf.get("hold", ()):
        hold(context["run_id"], point)


def _is_meant(conf, ti):
    return ti.try_number == 1 and ti.map_index == conf.get("map_index", -1)


def hold(run_id, point):
    """Wait until the test lets go; whoever has done so before finds the file there."""
    (MARKERS / f"{run_id}.{point}.reached").touch()
    while not (MARKERS / f"{run_id}.{point}.let-go").exists():
        time.sleep(0.05)


class MortalImageOperator(LipsyncImageOperator):
    def _open_ledger(self, context):
        ledger = super()._open_ledger(context)
        store = ledger.bought

        def bought(record, job_id):
            reach("id_came")
            store(record, job_id)

        ledger.bought = bought
        return ledger

    def _defer(self, job_id, deadline):
        reach("id_stored")
        context = get_current_context()
        if "deferred" in context["dag_run"].conf.get("hold", ()) and context["ti"].try_number == 1:
            atexit.register(hold, context["run_id"], "deferred")  # Airflow runs it when all is said and done
        super()._defer(job_id, deadline)

    def _watch_in_place(self, job_id, deadline):
        reach("waiting")
        return super()._watch_in_place(job_id, deadline)

    def execute_complete(self, context, *args, **kwargs):
        reach("resumed")
        return super().execute_complete(context, *args, **kwargs)

    def post_execute(self, context, result=None):
        reach("done", context)

    def record_delivery(self, context):
        reach("recorded", context)
        super().record_delivery(context)

    def _result_of(self, job):
        make_keeping_mortal()
        return super()._result_of(job)


class MortalTransferOperator(LipsyncToObjectStorageOperator):
    def execute(self, context):
        make_keeping_mortal()
        return super().execute(context)


def make_keeping_mortal():
    from airflow_provider_lipsync.jobs import keeping
    from airflow_provider_lipsync.media.download import Download

    take, describe = Download._take, keeping.write_receipt

    def take_in_pieces(self, chunk):
        for start in range(0, len(chunk), WRITTEN_AT_ONCE):
            if self._have:
                reach("downloading")
            take(self, chunk[start : start + WRITTEN_AT_ONCE])

    def write_receipt(*args, **kwargs):
        reach("stored")
        describe(*args, **kwargs)
        reach("described")

    Download._take, keeping.write_receipt = take_in_pieces, write_receipt
