"""How an operator handles files: staged inputs for the vendor, the finished video for the user.

Files are only touched on a worker, before the submit and after the job: never while it renders.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_lipsync.api import check
from airflow_provider_lipsync.api.models import Job
from airflow_provider_lipsync.api.texts import refuse_key, without_query
from airflow_provider_lipsync.exceptions import Charged, LipsyncError, LipsyncTransferFailed, Video
from airflow_provider_lipsync.jobs.outcome import LipsyncKnown, LipsyncResult
from airflow_provider_lipsync.jobs.wishes import checked_if_exists
from airflow_provider_lipsync.operators.remembering import RememberingTask

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_lipsync.hooks.lipsync import LipsyncHook
    from airflow_provider_lipsync.jobs.keeping import Keeper
    from airflow_provider_lipsync.media.receipt import Receipt
    from airflow_provider_lipsync.media.staging import Staging
    from airflow_provider_lipsync.media.task_key import TaskKey
    from airflow_provider_lipsync.media.web import Web

__all__ = ["KeepingTask", "announce", "open_keeper"]


def open_keeper(
    task: Any, context: Context, *, hook: LipsyncHook, web: Web, options: Mapping[str, Any] | None = None
) -> Keeper:
    """Return what keeps the video of this task instance under the task's ``output_path``.

    :param task: has ``output_path``, ``if_exists``, ``output_options`` and ``log``.
    :raises LipsyncBadInput: one of them cannot be used.
    """
    from airflow_provider_lipsync.jobs.keeping import Keeper
    from airflow_provider_lipsync.media.task_key import TaskKey

    given = {"output_path": task.output_path, "output_options": task.output_options}
    refuse_key(given, hook.settings.target.api_key)  # before any message could repeat them
    return Keeper(
        output_path=task.output_path,
        if_exists=checked_if_exists(task.if_exists),
        options=check.checked_mapping("output_options", task.output_options),
        author=TaskKey.of(context["ti"]),
        conn_id=task.lipsync_conn_id,
        api=without_query(hook.settings.target.base_url),
        look=hook.look,
        web=web,
        largest=hook.settings.largest_output,
        log=task.log,
    )


def announce(outlets: Sequence[Any], context: Context, result: LipsyncResult, *, log: Any) -> None:
    """Tell the asset events of a task what was stored; an asset alias gets the video's own address."""
    from airflow.providers.common.compat.sdk import Asset, AssetAlias

    events: Any = context.get("outlet_events")
    if events is None or result["sha256"] is None or result["output_uri"] is None:
        return
    told = {name: result[name] for name in ("job_id", "output_uri", "sha256", "size", "credits_estimated", "labels")}
    for outlet in outlets:
        try:
            if isinstance(outlet, AssetAlias):
                events[outlet].add(Asset(result["output_uri"]), extra=told)
            elif isinstance(outlet, Asset):
                events[outlet].extra.update(told)
        except ValueError as error:  # no URI that Airflow takes: the video is stored all the same
            log.warning("The asset event of %s could not be told of the video: %s", outlet.name, error)


class KeepingTask(RememberingTask):
    """Mixed into an operator that buys: it may keep the video, and cleans up what it staged."""

    output_path: Any
    if_exists: Any
    output_options: Any
    outlets: Any

    _key: TaskKey | None = None
    _web: Web | None = None
    _keeper: Keeper | None = None
    _marks: Mapping[str, str] | None = None
    _told: LipsyncKnown | None = None

    def execute_complete(
        self,
        context: Context,
        event: Any = None,
        job_id: str | None = None,
        deadline: float | None = None,
        *,
        marks: Mapping[str, str] | None = None,
        output_path: str | None = None,
        known: LipsyncKnown | None = None,
    ) -> LipsyncResult:
        """Come back from the trigger; see :meth:`JobTask.execute_complete`.

        :param marks: fingerprint of what the job was bought for.
        :param output_path: as it was when the job was bought; a template may render anew.
        :param known: what the task told of the job when it was bought, likewise.
        """
        self._marks, self._told = marks, known
        self.output_path = output_path or self.output_path
        try:
            self._open_files(context)
        except LipsyncError as error:
            self._close()
            where = Video.AT_VENDOR if isinstance(event, dict) and event.get("status") == "completed" else Video.NONE
            unusable = LipsyncTransferFailed(error.message, job_id=job_id, charged=Charged.YES, video=where)
            raise self._failed(context, unusable) from error.__cause__
        result = super().execute_complete(context, event, job_id, deadline)
        announce(self.outlets, context, result, log=self.log)
        return result

    def _open_files(self, context: Context) -> None:
        """Make what files need; nothing is read or written yet.

        :raises LipsyncBadInput: a path cannot be used.
        """
        from airflow_provider_lipsync.media.task_key import TaskKey

        self._key = TaskKey.of(context["ti"])
        if self.output_path is not None:
            self._keeper = open_keeper(self, context, hook=self.hook, web=self._fetcher())

    def _fetcher(self) -> Web:
        if self._web is None:
            self._web = self.hook.open_web()
        return self._web

    def _staging(self) -> Staging | None:
        from airflow_provider_lipsync.media.staging import Staging

        folder = self.hook.settings.staging_path
        return None if folder is None or self._key is None else Staging(folder, self._key.name(), log=self.log)

    def _known(self, job_id: str) -> LipsyncKnown | None:
        return self._told or self._recalled(job_id)

    def _recalled(self, job_id: str) -> LipsyncKnown | None:
        """Return what is known of the job where nobody carried it through the deferral, as in ``dag.test()``."""
        raise NotImplementedError

    def _carried(self) -> dict[str, Any]:
        carried: dict[str, Any] = {} if self._marks is None else {"marks": dict(self._marks)}
        if self._told is not None:
            carried["known"] = dict(self._told)
        return carried if self.output_path is None else {**carried, "output_path": str(self.output_path)}

    def _result_of(self, job: Job) -> LipsyncResult:
        self._unstage()
        if self._keeper is None or not job.output:
            return super()._result_of(job)
        from airflow_provider_lipsync.metrics import count

        marks = self._ledger.fingerprint_of(job.id) if self._ledger else None
        result = self._keeper.keep(job, marks or self._marks, self._known(job.id))
        count("completed", conn_id=self.lipsync_conn_id, model=self._model())
        return result

    def _take(self, receipt: Receipt) -> LipsyncResult:
        """Hand on a video that stands already; a job of this very task has so been delivered."""
        self._unstage()
        self._handed_on = receipt.job_id
        assert self._keeper is not None
        return self._keeper.result_of(receipt)

    def _unstage(self) -> None:
        """Remove the copies of local files: the job is over, or there is none."""
        if not self._has_local_media():
            return
        try:
            staging = self._staging()
        except Exception as error:  # noqa: BLE001 - a connection that is gone must not keep a video from being handed on
            self.log.warning("The copies of local files could not be removed: %s: %s", type(error).__name__, error)
            return
        if staging is not None:
            staging.clear()

    def _has_local_media(self) -> bool:
        """Whether any of the media may have been staged."""
        raise NotImplementedError

    def _close(self) -> None:
        if self._web is not None:
            self._web.close()
        super()._close()
