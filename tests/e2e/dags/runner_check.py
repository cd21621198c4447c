"""What the runner's own tests run: a task that waits in the triggerer, and tasks that never end by themselves."""

from __future__ import annotations

import logging
from datetime import timedelta

from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger
from airflow.sdk import BaseOperator, dag, task


class Wait(BaseOperator):
    """In the triggerer for long enough to be killed there and taken over."""

    def execute(self, context):
        self.defer(trigger=TimeDeltaTrigger(timedelta(seconds=12)), method_name="resume")

    def resume(self, context, event):
        """The worker's part, of which there is nothing to do."""


@dag(schedule=None)
def runner_check():
    @task
    def greet(*, dag_run):
        logging.getLogger("greet").info("hello from run %s", dag_run.run_id)
        return {"greeting": dag_run.conf["greeting"], "to": ["you", None]}

    greet() >> Wait(task_id="wait")


@dag(schedule=None)
def runner_linger():
    @task
    def linger(number):
        """Wait for a child in a session of its own, as shell commands are run.

        It must not inherit the task's stdin, stdout and stderr: while somebody holds one of them open, Airflow takes
        the task for alive (`[workers] socket_cleanup_timeout`, 60 s).
        """
        import subprocess

        own = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
        subprocess.run(["sleep", "3600"], start_new_session=True, check=True, **own)

    linger.expand(number=[0, 1])


runner_check()
runner_linger()
