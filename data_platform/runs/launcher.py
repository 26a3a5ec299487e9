"""Launches runs as Fargate tasks: Dagster's launcher, plus waiting out capacity shortages, finding tasks whose launch
was interrupted, and explaining why a task ended. `task_end` interprets ECS's answers."""

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

from data_platform.runs.queue import NO_OVERRIDES, RUN_TASK_TAG, SPOT_TAG
from data_platform.runs.task_definition import with_definition
from data_platform.runs.task_end import SPOT_INTERRUPTION, is_shortage, is_unclear, why_it_ended

ARN_TAG, CLUSTER_TAG = "ecs/task_arn", "ecs/cluster"
SHORTAGE_SECONDS = 480.0
"""How long to retry a launch while AWS has no capacity or throttles calls. Then the run fails, and Dagster retries it.
Run monitoring's start timeout (deploy/dagster.yaml) is longer."""
LOG_LINES = 20
WATCH_SECONDS = 10.0
"""How often to check launched tasks until their runs start."""
DESCRIBED_AT_ONCE = 100
"""The most tasks that DescribeTasks takes."""
_log = logging.getLogger(__name__)


class FargateRunLauncher(EcsRunLauncher[Any]):
    """EcsRunLauncher, with the same configuration, that also

    - runs exactly the task definition that it registered for the run's code (`task_definition`),
    - retries RunTask while AWS throttles it or has no capacity, and never launches a run twice,
    - finds a run's task again if the daemon died before it recorded the task,
    - tells apart Spot interruptions, kills for memory and silent exits, and tags the run so that a retry gets more
      memory or runs on demand.
    """

    def __init__(self, *args: Any, **configured: Any) -> None:
        super().__init__(*args, **configured)
        self._starting: set[str] = set()
        self._watcher: Thread | None = None
        self._watching = Lock()

    def get_boto_client_config(self) -> Config:
        """Retries throttled calls more often than botocore's default of three attempts."""
        return Config(retries={"mode": "standard", "max_attempts": 8}, connect_timeout=10, read_timeout=60)

    def launch_run(self, context: Any) -> None:
        """Launches the run's task. If AWS has no capacity, returns, and a thread retries for up to SHORTAGE_SECONDS:
        Dagster's queue launches nothing more until all current launches have returned. Raises RunTask's error if
        waiting doesn't help."""
        run = context.dagster_run
        spot = not self._was_interrupted(run) and run.tags.get(SPOT_TAG) == "true"
        shortage = self._try(context, spot)
        if shortage and spot and not is_unclear(shortage):
            spot, shortage = False, self._on_demand(context, shortage)
        if shortage:
            # A daemon that stops doesn't wait for the thread. Run monitoring then fails the run; Dagster retries it.
            arguments = (context, shortage, spot)
            Thread(target=self._keep_trying, args=arguments, name=f"launch-{run.run_id}", daemon=True).start()

    def _on_demand(self, context: Any, shortage: Exception) -> Exception | None:
        self._instance.report_engine_event(f"No Spot task, requesting one on demand: {shortage}", context.dagster_run)
        return self._try(context, spot=False)

    def _try(self, context: Any, spot: bool) -> Exception | None:
        """Launches the task, or returns the error of a shortage. An earlier attempt may have launched a task although
        AWS returned an error, or its answer was lost: ECS then returns that task, as the run and the market are the
        same (https://docs.aws.amazon.com/AmazonECS/latest/APIReference/ECS_Idempotency.html)."""
        run = context.dagster_run
        try:
            super().launch_run(context._replace(dagster_run=self._as_requested(run, spot)))
        except Exception as error:
            if not is_shortage(error):
                raise
            return error
        self._watch(run.run_id)
        return None

    def _as_requested(self, run: dg.DagsterRun, spot: bool) -> dg.DagsterRun:
        """The run with its own arguments for RunTask, whatever its tags ask for, and with its task definition."""
        arguments: dict[str, Any] = {
            "startedBy": run.run_id,
            "clientToken": f"{run.run_id}-{'spot' if spot else 'on-demand'}",
        }
        if spot:
            arguments["capacityProviderStrategy"] = [{"capacityProvider": "FARGATE_SPOT", "weight": 1}]
        return with_definition(self, run).with_tags({**run.tags, **NO_OVERRIDES, RUN_TASK_TAG: json.dumps(arguments)})

    def _keep_trying(self, context: Any, shortage: Exception, spot: bool) -> None:
        run, began = context.dagster_run, time.monotonic()
        error: Exception | None = shortage
        for pause in _pauses():
            try:
                self._instance.report_engine_event(f"No task yet, next attempt in {pause:.0f} s: {error}", run)
                time.sleep(pause)
                if not self._is_starting(run):
                    return
                try:
                    error = self._try(context, spot)
                    if error and spot and not is_unclear(error):
                        spot, error = False, self._on_demand(context, error)
                    over = error is None or time.monotonic() - began > SHORTAGE_SECONDS
                except Exception as other:
                    error, over = other, True
                if error is not None and over and self._is_starting(run):
                    self._instance.report_run_failed(run, f"ECS did not return a task: {error}")
                if over:
                    return
            except Exception as lost:  # Dagster's database may be down for a moment
                _log.warning("run %s: can't record the progress of its launch: %s", run.run_id, lost)
                time.sleep(pause)

    def _watch(self, run_id: str) -> None:
        """Fails the run if its task ends before the run starts. Dagster's run monitoring checks only started runs, and
        would notice only after the start timeout, as it does if the daemon stops meanwhile. One thread watches all
        runs."""
        with self._watching:
            self._starting.add(run_id)
            if self._watcher is None:
                self._watcher = Thread(target=self._watch_starts, name="starting-runs", daemon=True)
                self._watcher.start()

    def _watch_starts(self) -> None:
        while True:
            time.sleep(WATCH_SECONDS)
            try:
                self._look_at_starts()
            except Exception as error:  # AWS or Dagster's database may be down for a moment
                _log.warning("can't check the tasks of starting runs: %s", error)
            with self._watching:
                if not self._starting:
                    self._watcher = None
                    return

    def _look_at_starts(self) -> None:
        """One look at all watched runs: forgets those that have started or ended, fails those whose task has ended."""
        with self._watching:
            watched = set(self._starting)
        filters = dg.RunsFilter(run_ids=list(watched), statuses=[dg.DagsterRunStatus.STARTING])
        starting = {run.run_id: run for run in self._instance.get_runs(filters)}
        with self._watching:
            self._starting -= watched - starting.keys()
        for run, task in self._tasks(list(starting.values())):
            if task.get("lastStatus") == "STOPPED" and self._is_starting(run):  # ask again: it may have ended since
                self._instance.report_run_failed(run, self._how_it_ended(run, task))

    def _tasks(self, runs: Sequence[dg.DagsterRun]) -> Iterator[tuple[dg.DagsterRun, Mapping[str, Any]]]:
        """The tasks of these runs, as far as ECS knows them. DescribeTasks takes up to 100 of one cluster."""
        clusters: dict[str, dict[str, dg.DagsterRun]] = {}
        for run in runs:
            arn, cluster = run.tags.get(ARN_TAG), run.tags.get(CLUSTER_TAG)
            if arn and cluster:
                clusters.setdefault(cluster, {})[arn] = run
        for cluster, by_arn in clusters.items():
            arns = list(by_arn)
            for start in range(0, len(arns), DESCRIBED_AT_ONCE):
                found = self.ecs.describe_tasks(tasks=arns[start : start + DESCRIBED_AT_ONCE], cluster=cluster)
                yield from ((by_arn[task["taskArn"]], task) for task in found["tasks"])

    def _is_starting(self, run: dg.DagsterRun) -> bool:
        now = self._instance.get_run_by_id(run.run_id)
        return now is not None and now.status == dg.DagsterRunStatus.STARTING

    def check_run_worker_health(self, run: dg.DagsterRun) -> Any:
        """The state of the run's task. A task that ended before its run counts as failed, whatever its exit code, and
        the message explains why it ended."""
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
            return result._replace(msg="ECS has no task for this run")
        return result._replace(status=status.FAILED, msg=self._how_it_ended(now, task))

    def _how_it_ended(self, run: dg.DagsterRun, task: Mapping[str, Any]) -> str:
        """Why the run's task ended, with its last log lines. Tags the run for its retry (`why_it_ended`)."""
        ended = why_it_ended(task, run.tags)
        if ended.tags:
            self._instance.add_run_tags(run.run_id, ended.tags)
        lines = self._last_lines(run)
        return "\n".join([ended.text, f"Task {task['taskArn']}", *(["Its last lines:", *lines] if lines else [])])

    def get_run_worker_debug_info(self, run: dg.DagsterRun, include_container_logs: bool | None = True) -> str | None:
        """Why the run's task has not started. Dagster adds it to the message that the run took too long to start."""
        if run.status != dg.DagsterRunStatus.STARTING:
            return None
        self._find_task(run)
        task = self._task(self._instance.get_run_by_id(run.run_id) or run)
        if task is None:
            return "ECS has no task for this run: the launcher didn't request one, or it stopped long ago."
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
        """Whether this run is a retry of one whose task Spot took back. A retry has its parent's tags; this removes
        those of the parent's task, so that it isn't taken for this run's."""
        if not run.tags.get(ARN_TAG):
            return False
        self._instance.add_run_tags(run.run_id, {ARN_TAG: "", CLUSTER_TAG: ""})
        try:
            before = self._task(run)
        except (ClientError, BotoCoreError):  # running on demand does no harm
            return True
        return before is not None and before.get("stopCode") == SPOT_INTERRUPTION

    def _find_task(self, run: dg.DagsterRun) -> None:
        """Finds and records the task of a run whose launch was interrupted, by `startedBy`, which is the run's id."""
        if run.tags.get(ARN_TAG):
            return
        cluster = self.run_task_kwargs.get("cluster", "default")
        found = self.ecs.list_tasks(cluster=cluster, startedBy=run.run_id)["taskArns"]
        arn = found[0] if found else self._stopped_task(cluster, run.run_id)
        if arn is not None:
            _log.warning("run %s: its task is %s", run.run_id, arn)
            self._instance.add_run_tags(run.run_id, {ARN_TAG: arn, CLUSTER_TAG: cluster})

    def _stopped_task(self, cluster: str, run_id: str) -> str | None:
        """The run's task among those that stopped within the last hour. ListTasks can't combine `startedBy` with
        another filter, and with it alone lists only tasks that haven't stopped."""
        for page in self.ecs.get_paginator("list_tasks").paginate(cluster=cluster, desiredStatus="STOPPED"):
            arns = page["taskArns"]
            tasks = self.ecs.describe_tasks(tasks=arns, cluster=cluster)["tasks"] if arns else []
            for task in tasks:
                if task.get("startedBy") == run_id:
                    return str(task["taskArn"])
        return None

    def _task(self, run: dg.DagsterRun) -> Mapping[str, Any] | None:
        return next((task for _, task in self._tasks([run])), None)

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
            return [f"(can't read the log: {error})"]


def _pauses() -> Iterator[float]:
    """Seconds: 2, 4, 8 .. 60, each up to a quarter longer or shorter, so that many runs don't retry at once."""
    pause = 2.0
    while True:
        yield pause * random.uniform(0.75, 1.25)  # noqa: S311  no secret
        pause = min(pause * 2, 60.0)
