"""A task's lifecycle, from PROVISIONING to STOPPED. It replaces ministack's, which reports exit code 0 as soon as a
task is told to stop.

A task has one thread, its worker, which starts the containers, waits for their end or for the order to stop, and alone
sets the task to STOPPED. Others call `Tasks.stop`.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-lifecycle-explanation.html
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from ministack.core.concurrency import resource_lock
from ministack.core.responses import request_scope
from ministack.services import cloudwatch_logs, ecs, ecs_metadata

from data_platform.local_cloud.ecs import faults, network
from data_platform.local_cloud.ecs.container import Container
from data_platform.local_cloud.ecs.containers import CannotStart, Containers
from data_platform.local_cloud.ecs.images import ImageMissing
from data_platform.local_cloud.ecs.journal import STOPPED_KEPT, Journal

Task = dict[str, Any]

STOP_SECONDS, MOST_STOP_SECONDS = 30.0, 120.0
"""Seconds between SIGTERM and SIGKILL: the default, and the most that a definition can set."""

LOGS_SECONDS = 5.0
"""How long an ended task waits for the rest of its output to reach CloudWatch."""

ESSENTIAL_EXITED = "Essential container in task exited"
HOST_LOST = "ECS is performing maintenance on the underlying infrastructure hosting the task."


def names_of(task: Mapping[str, Any]) -> set[str]:
    """The names by which a fault can select a task: its ARN, id, family, startedBy, and the values of its tags."""
    arn = str(task["taskArn"])
    family = str(task["taskDefinitionArn"]).rsplit("/", 1)[-1].rsplit(":", 1)[0]
    return {arn, arn.rsplit("/", 1)[-1], family, str(task.get("startedBy")), *(tag["value"] for tag in task["tags"])}


class Worker:
    """The signals to a task's worker: it may begin; something changed."""

    def __init__(self) -> None:
        self.admitted, self.changed = threading.Event(), threading.Event()


class Tasks:
    """The running tasks."""

    def __init__(self, journal: Journal, broken: faults.Faults) -> None:
        self.journal = journal
        self.faults = broken
        self._workers: dict[str, Worker] = {}
        self._lock = threading.Lock()

    def admit(self, task_arn: str) -> None:
        """Let a worker begin, once its task is as RunTask answers and is in the journal."""
        self._worker(task_arn).admitted.set()

    def wake(self, task_arn: str) -> None:
        """Have a worker check its task again."""
        with self._lock:
            worker = self._workers.get(task_arn)
        if worker is not None:
            worker.changed.set()

    def _worker(self, task_arn: str) -> Worker:
        with self._lock:
            return self._workers.setdefault(task_arn, Worker())

    def stop(self, task: Task, reason: str, code: str) -> bool:
        """Start stopping a task, and return at once. False if it is stopping already."""
        with resource_lock("ecs-task", task["taskArn"]):
            if task["desiredStatus"] == "STOPPED":
                return False
            task.update(desiredStatus="STOPPED", stoppedReason=reason, stopCode=code, stoppingAt=ecs._iso())
            ecs._bump_task_version(task)
        ecs_metadata.set_task_status(task["taskArn"], desired_status="STOPPED")
        self.wake(task["taskArn"])
        return True

    def work(
        self, task: Task, definition: Task, overrides: list[Task], client: Any, account_id: str, region: str
    ) -> None:
        """A task's worker. It replaces ministack's."""
        containers: Containers = client.containers
        worker = self._worker(task["taskArn"])
        worker.admitted.wait()
        with request_scope(account_id, region):
            try:
                self._hold_back(task, worker)
                _require_log_groups(task, definition)
                ecs._start_task_worker(task, definition, overrides, client)
            except (ImageMissing, CannotStart) as error:
                self._fail_start(task, str(error))
            except ecs._SecretResolutionError as error:
                self._fail_start(
                    task,
                    "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval"
                    f" failed: {error}",
                )
            except Exception as error:
                self._fail_start(task, f"ResourceInitializationError: {error}")
            self._follow(task, definition, containers, worker)
            self._end(task, definition, containers)
            self._forget_old()

    def _fail_start(self, task: Task, reason: str) -> None:
        if self.stop(task, reason, "TaskFailedToStart"):
            task["containers"][0]["reason"] = reason

    def _hold_back(self, task: Task, worker: Worker) -> None:
        """Apply a fault of the start. Raises CannotStart."""
        fault = self.faults.take(faults.STARTED, names_of(task))
        if fault is None:
            return
        ecs._mark_task_pending(task["taskArn"], task)
        if fault.kind == "start_failure":
            raise CannotStart(
                fault.reason or f"CannotPullContainerError: {task['containers'][0]['image']}: dial tcp: i/o timeout"
            )
        worker.changed.wait(fault.seconds)

    def _follow(self, task: Task, definition: Task, containers: Containers, worker: Worker) -> None:
        """Wait until the task has to stop, for whatever reason."""
        essential = {c["name"] for c in definition["containerDefinitions"] if c.get("essential", True)}
        while task["desiredStatus"] != "STOPPED":
            ended = [container for container in containers.of_task(task["taskArn"]) if container.exit_code is not None]
            _show_ended(task, ended)
            if essential & {container.name for container in ended} or len(ended) == len(task["containers"]):
                self.stop(task, ESSENTIAL_EXITED, "EssentialContainerExited")
                return
            worker.changed.wait()
            worker.changed.clear()

    def _end(self, task: Task, definition: Task, containers: Containers) -> None:
        """End what still runs, as `docker stop` does, then set the task to STOPPED."""
        arn = task["taskArn"]
        seconds = {c["name"]: float(c.get("stopTimeout") or STOP_SECONDS) for c in definition["containerDefinitions"]}
        with resource_lock("ecs-task", arn):
            task["lastStatus"] = "STOPPING"
        ecs_metadata.set_task_status(arn, known_status="STOPPING")
        running = [container for container in containers.of_task(arn) if container.exit_code is None]
        for container in running:
            container.terminate()
        began = time.monotonic()
        for container in running:
            allowed = min(seconds[container.name], MOST_STOP_SECONDS)
            if container.wait(max(0.0, began + allowed - time.monotonic()))["StatusCode"] is None:
                container.kill()
        for container in containers.of_task(arn):
            container.wait()
        logged = {c["name"] for c in definition["containerDefinitions"] if ecs._awslogs_config(c, "", "")}
        for container in containers.of_task(arn):
            if container.name in logged:
                container.read_out.wait(LOGS_SECONDS)
        ended = containers.of_task(arn)
        try:
            ecs._cleanup_task_resources(task, None)
            containers.forget(arn)
            network.detach(task)
        finally:
            self._report_end(task, ended)
        with self._lock:
            del self._workers[arn]

    def _report_end(self, task: Task, ended: list[Container]) -> None:
        now = ecs._iso()
        with resource_lock("ecs-task", task["taskArn"]):
            _show_ended(task, ended)
            for container in task["containers"]:
                container["lastStatus"] = "STOPPED"
            ecs._bump_task_version(task)  # DEPROVISIONING, which takes no time here
            ecs._bump_task_version(task)
            last = {"lastStatus": "STOPPED", "stoppedAt": now, "executionStoppedAt": now}
            try:
                self.journal.save({**task, **last})  # first, so that a kill can't take back what a client saw
            finally:
                task.update(last)
        ecs_metadata.set_task_status(task["taskArn"], known_status="STOPPED")
        ecs._recount_cluster(task["clusterArn"].rsplit("/", 1)[-1])

    def _forget_old(self) -> None:
        """Forget tasks that stopped long ago, and their output, which ministack keeps in memory."""
        oldest = time.time() - STOPPED_KEPT
        for arn, task in list(ecs._tasks.items()):
            stopped = task["stoppedAt"] if task["lastStatus"] == "STOPPED" else None
            if stopped and datetime.fromisoformat(stopped).timestamp() < oldest:
                ecs._tasks.pop(arn, None)
                self.journal.forget(arn)
                definition = ecs._task_defs.get(ecs._resolve_td_key(task["taskDefinitionArn"])) or {}
                for container in definition.get("containerDefinitions", ()):
                    if config := ecs._awslogs_config(container, arn.rsplit("/", 1)[-1], ""):
                        stream = {"logGroupName": config["group"], "logStreamName": config["stream"]}
                        cloudwatch_logs._delete_log_stream(stream)

    def restore(self, put: Callable[[Task], None]) -> None:
        """Bring back the tasks of the previous server process. Those that ran then have lost their host."""
        for task in self.journal.tasks():
            if task["lastStatus"] != "STOPPED":
                now = ecs._iso()
                task.setdefault("executionStoppedAt", now)
                task.update(
                    lastStatus="STOPPED",
                    desiredStatus="STOPPED",
                    stopCode=task.get("stopCode") or "TerminationNotice",
                    stoppedReason=task.get("stoppedReason") or HOST_LOST,
                    stoppedAt=now,
                    containers=[{**container, "lastStatus": "STOPPED"} for container in task["containers"]],
                )
                self.journal.save(task)
            put(task)


def _show_ended(task: Task, ended: list[Container]) -> None:
    for container in ended:
        shown = next(shown for shown in task["containers"] if shown["name"] == container.name)
        shown.update(lastStatus="STOPPED", exitCode=container.exit_code)
        if container.killed_for:
            shown["reason"] = container.killed_for


def _require_log_groups(task: Task, definition: Task) -> None:
    """Raise CannotStart if a log group is missing: Fargate starts no container that can't log."""
    for container in definition["containerDefinitions"]:
        config = ecs._awslogs_config(container, task["taskArn"].rsplit("/", 1)[-1], "")
        if config and not ecs._ensure_awslogs_stream(config):
            raise CannotStart(
                "ResourceInitializationError: failed to validate logger args: create stream has been retried 1 times:"
                " failed to create Cloudwatch log stream: ResourceNotFoundException: The specified log group does not"
                " exist. : exit status 1"
            )
