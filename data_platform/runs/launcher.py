"""Runs as Fargate tasks: Dagster's own launcher, made to wait out shortages, to find a task whose launch it didn't see
the end of, and to tell why a task ended."""

import json
import logging
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from threading import Lock, Thread
from typing import Any

import dagster as dg
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from dagster_aws.ecs import EcsRunLauncher
from dagster_aws.ecs.utils import get_task_logs

from data_platform.runs.queue import SPOT_TAG
from data_platform.runs.task_end import SPOT_INTERRUPTION, is_shortage, why_it_ended

ARN_TAG, CLUSTER_TAG = "ecs/task_arn", "ecs/cluster"
SHORTAGE_SECONDS = 480.0
"""How long a launch waits for capacity, or for calls to be let through, before the run fails and is tried again. Run
monitoring's start timeout (deploy/dagster.yaml) is longer."""
LOG_LINES = 20
WATCH_SECONDS = 10.0
"""How often a launched task is looked at until its run starts."""

_KWARGS_TAG = "ecs/run_task_kwargs"
_log = logging.getLogger(__name__)


class FargateRunLauncher(EcsRunLauncher[Any]):
    """What EcsRunLauncher leaves to its operator: RunTask that is throttled or finds no capacity is waited for; a task
    launched by a daemon that died before it could write that down is found again; Spot, memory and silent exits are
    told apart, and tagged so that a retry does better. Configured as EcsRunLauncher."""

    def __init__(self, *args: Any, **configured: Any) -> None:
        super().__init__(*args, **configured)
        self._launching = Lock()

    def get_boto_client_config(self) -> Config:
        """More patience with throttling than botocore's three attempts."""
        return Config(retries={"mode": "standard", "max_attempts": 8}, connect_timeout=10, read_timeout=60)

    def launch_run(self, context: Any) -> None:
        """Launches the run's task. Where there is none to be had now, returns and tries again beside, up to
        SHORTAGE_SECONDS: Dagster's queue stands still until all launches that it has begun have returned. Raises what
        RunTask raised where waiting doesn't help."""
        run = context.dagster_run
        spot = not self._was_interrupted(run) and run.tags.get(SPOT_TAG) == "true"
        shortage = self._try(context, spot)
        if shortage and spot:
            self._instance.report_engine_event(f"No task yet, on demand instead of Spot, now: {shortage}", run)
            shortage = self._try(context, spot=False, again=True)
        if shortage:
            # A daemon that ends doesn't wait for it; run monitoring then fails the run, which is tried again.
            Thread(target=self._keep_trying, args=(context, shortage), name=f"launch-{run.run_id}", daemon=True).start()

    def _try(self, context: Any, spot: bool, again: bool = False) -> Exception | None:
        """Launches the task, or returns what says that there is none now. `again`: there may be one by now, as AWS said
        no though it launched it, or its answer was lost."""
        run = context.dagster_run
        try:
            # One at a time: RunTask takes the family's latest task definition, which has to be this run's still.
            with self._launching:
                if not (again and self._was_launched(run)):
                    super().launch_run(context._replace(dagster_run=_with_task_kwargs(run, spot)))
        except Exception as error:
            if not is_shortage(error):
                raise
            return error
        Thread(target=self._watch_start, args=(run,), name=f"start-{run.run_id}", daemon=True).start()
        return None

    def _keep_trying(self, context: Any, shortage: Exception) -> None:
        run, began = context.dagster_run, time.monotonic()
        error: Exception | None = shortage
        for pause in _pauses():
            try:
                self._instance.report_engine_event(f"No task yet, again in {pause:.0f} s: {error}", run)
                time.sleep(pause)
                if not self._is_starting(run):
                    return
                try:
                    error = self._try(context, spot=False, again=True)
                    over = error is None or time.monotonic() - began > SHORTAGE_SECONDS
                except Exception as other:
                    error, over = other, True
                if error is not None and over and self._is_starting(run):
                    self._instance.report_run_failed(run, f"No task was to be had: {error}")
                if over:
                    return
            except Exception as lost:  # Dagster's database, for now
                _log.warning("run %s: its launch can't be followed: %s", run.run_id, lost)
                time.sleep(pause)

    def _watch_start(self, run: dg.DagsterRun) -> None:
        """Fails a run whose task ends before it has begun. Dagster's monitoring asks about started runs only, and would
        notice when the start timeout is over; so it is, still, where the daemon ends meanwhile."""
        while True:
            time.sleep(WATCH_SECONDS)
            try:
                now = self._instance.get_run_by_id(run.run_id)
                if now is None or now.status != dg.DagsterRunStatus.STARTING:
                    return
                task = self._task(now)
                if task is None or task.get("lastStatus") != "STOPPED":
                    continue
                if self._is_starting(run):  # still: it may have begun, and ended, in between
                    self._instance.report_run_failed(run, self._how_it_ended(now, task))
            except Exception as error:  # AWS or Dagster's database, for now
                _log.warning("run %s: its task can't be looked at: %s", run.run_id, error)

    def _was_launched(self, run: dg.DagsterRun) -> bool:
        now = self._instance.get_run_by_id(run.run_id)
        return now is not None and self._find_task(now, stopped=False)

    def _is_starting(self, run: dg.DagsterRun) -> bool:
        now = self._instance.get_run_by_id(run.run_id)
        return now is not None and now.status == dg.DagsterRunStatus.STARTING

    def check_run_worker_health(self, run: dg.DagsterRun) -> Any:
        """What has become of the run's task. One that ended before its run did counts as failed, whatever its exit code
        says, and the reason is said in words."""
        executed_here = run.remote_job_origin is None  # by `data-platform run`, in its own process
        if not executed_here:
            self._find_task(run)
        result = super().check_run_worker_health(run)
        status = type(result.status)
        if executed_here:
            return result._replace(status=status.RUNNING)
        if result.status == status.RUNNING:
            return result
        now = self._instance.get_run_by_id(run.run_id)
        if now is None or now.is_finished:
            return result
        task = self._task(now)
        if task is None:
            return result._replace(msg="ECS knows no task of this run")
        return result._replace(status=status.FAILED, msg=self._how_it_ended(now, task))

    def _how_it_ended(self, run: dg.DagsterRun, task: Mapping[str, Any]) -> str:
        """Why a run's task ended, with its last lines; the run is tagged so that a retry does better."""
        ended = why_it_ended(task, run.tags)
        if ended.tags:
            self._instance.add_run_tags(run.run_id, ended.tags)
        lines = self._last_lines(run)
        return "\n".join([ended.text, f"Task {task['taskArn']}", *(["Its last lines:", *lines] if lines else [])])

    def get_run_worker_debug_info(self, run: dg.DagsterRun, include_container_logs: bool | None = True) -> str | None:
        """Why a run's task has not started, for the message that the run took too long."""
        if run.status != dg.DagsterRunStatus.STARTING:
            return None
        self._find_task(run)
        task = self._task(self._instance.get_run_by_id(run.run_id) or run)
        if task is None:
            return "ECS was not asked for a task, or knows none of this run any more."
        if task.get("lastStatus") == "STOPPED":
            return why_it_ended(task, run.tags).text
        return f"Its task {task['taskArn']} is {task.get('lastStatus')}."

    def terminate(self, run_id: str) -> bool:
        """Stops the run's task."""
        run = self._instance.get_run_by_id(run_id)
        if run is not None and not run.is_finished:
            self._find_task(run)
        return bool(super().terminate(run_id))

    def _was_interrupted(self, run: dg.DagsterRun) -> bool:
        """Whether this run is tried again because Spot took its task back: a retry comes with its parent's tags. They
        are taken off, so that the parent's task isn't held for this run's."""
        if not run.tags.get(ARN_TAG):
            return False
        self._instance.add_run_tags(run.run_id, {ARN_TAG: "", CLUSTER_TAG: ""})
        try:
            before = self._task(run)
        except (ClientError, BotoCoreError):  # that it goes on demand does no harm
            return True
        return before is not None and before.get("stopCode") == SPOT_INTERRUPTION

    def _find_task(self, run: dg.DagsterRun, *, stopped: bool = True) -> bool:
        """Writes down the task of a run whose launch was cut short: tasks are started in the name of their run. Returns
        whether there is one, or, without `stopped`, one that is to run."""
        if run.tags.get(ARN_TAG):
            return True
        cluster = self.run_task_kwargs.get("cluster", "default")
        found = self.ecs.list_tasks(cluster=cluster, startedBy=run.run_id)["taskArns"]
        arn = found[0] if found else None
        if arn is None and stopped:
            arn = self._stopped_task(cluster, run.run_id)
        if arn is not None:
            _log.warning("run %s: its task is %s", run.run_id, arn)
            self._instance.add_run_tags(run.run_id, {ARN_TAG: arn, CLUSTER_TAG: cluster})
        return arn is not None

    def _stopped_task(self, cluster: str, run_id: str) -> str | None:
        """A run's task among those that stopped within the last hour. ListTasks takes `startedBy` with no other filter,
        and then shows only tasks that are to run."""
        for page in self.ecs.get_paginator("list_tasks").paginate(cluster=cluster, desiredStatus="STOPPED"):
            arns = page["taskArns"]
            tasks = self.ecs.describe_tasks(tasks=arns, cluster=cluster)["tasks"] if arns else []
            for task in tasks:
                if task.get("startedBy") == run_id:
                    return str(task["taskArn"])
        return None

    def _task(self, run: dg.DagsterRun) -> Mapping[str, Any] | None:
        arn, cluster = run.tags.get(ARN_TAG), run.tags.get(CLUSTER_TAG)
        tasks = self.ecs.describe_tasks(tasks=[arn], cluster=cluster)["tasks"] if arn and cluster else []
        return tasks[0] if tasks else None

    def _last_lines(self, run: dg.DagsterRun) -> Sequence[str]:
        try:
            return list(
                get_task_logs(  # type: ignore[no-untyped-call]
                    self.ecs,
                    logs_client=self.logs,
                    cluster=run.tags[CLUSTER_TAG],
                    task_arn=run.tags[ARN_TAG],
                    container_name=self.container_name,
                    limit=LOG_LINES,
                )
            )
        except (ClientError, BotoCoreError) as error:
            return [f"(the log can't be read: {error})"]


def _pauses() -> Iterator[float]:
    """Seconds: 2, 4, 8 .. 60, each up to a quarter longer or shorter, so that many runs don't ask at once."""
    pause = 2.0
    while True:
        yield pause * random.uniform(0.75, 1.25)  # noqa: S311  no secret
        pause = min(pause * 2, 60.0)


def _with_task_kwargs(run: dg.DagsterRun, spot: bool) -> dg.DagsterRun:
    """The run as EcsRunLauncher is to see it: with what RunTask is told for this run alone."""
    asked = json.loads(run.tags.get(_KWARGS_TAG, "{}"))
    told = {"startedBy": run.run_id, **asked}
    if spot:
        told.setdefault("capacityProviderStrategy", [{"capacityProvider": "FARGATE_SPOT", "weight": 1}])
    return run.with_tags({**run.tags, _KWARGS_TAG: json.dumps(told)})
