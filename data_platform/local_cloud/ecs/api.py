"""RunTask, RegisterTaskDefinition, ListTasks and StopTask, where ministack accepts or ignores what AWS refuses.

The rules and the errors' words come from the API reference and the developer guide:
https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ministack.core.responses import error_response_json, json_response
from ministack.services import ecs

from data_platform.local_cloud.ecs import faults, network, sizes
from data_platform.local_cloud.ecs.lifecycle import Task, Tasks

Request = dict[str, Any]
Answer = tuple[int, Any, Any]
"""Status, headers, body."""

OVERRIDES_LENGTH = 8192
"""The most characters of a RunTask's overrides as JSON, which include a run's command."""

DEFINITION_LENGTH = 65536
TOKEN_SECONDS = 24 * 3600.0

CAPACITY = "Capacity is unavailable at this time. Please try again later or in a different availability zone"
VCPU_LIMIT = "You've reached the limit on the number of vCPUs you can run concurrently"


class Refused(Exception):
    """AWS refuses the request, with this code and message."""

    def __init__(self, code: str, message: str, **members: Any) -> None:
        super().__init__(message)
        self.code, self.message, self.members = code, message, members

    def answer(self) -> Answer:
        answer: Answer = error_response_json(self.code, self.message, 400, self.members or None)
        return answer


@dataclass(frozen=True)
class Launched:
    """The request of a client token, and the tasks it launched."""

    request: str
    tasks: tuple[str, ...]
    at: float


class Api:
    """The operations. The constructor takes ministack's own, which do the rest."""

    def __init__(
        self,
        tasks: Tasks,
        run_task: Callable[[Request], Answer],
        register: Callable[[Request], Answer],
        list_tasks: Callable[[Request], Answer],
    ) -> None:
        self._tasks = tasks
        self._ministack_run_task, self._ministack_register = run_task, register
        self._ministack_list_tasks = list_tasks
        self._launched: dict[tuple[str, str], Launched] = {}
        self._one_at_a_time = threading.Lock()

    def register(self, request: Request) -> Answer:
        """RegisterTaskDefinition."""
        length = len(json.dumps(request))
        if length > DEFINITION_LENGTH:
            message = f"Actual length: '{length}'. Max allowed length is '{DEFINITION_LENGTH}' bytes."
            return Refused("ClientException", message).answer()
        if "FARGATE" in (request.get("requiresCompatibilities") or ()):
            try:
                sizes.check_fargate(sizes.effective(request, {}))
                _require_execution_role(request)
            except sizes.SizeRefused as error:
                return Refused("ClientException", str(error)).answer()
            except Refused as refused:
                return refused.answer()
        return self._ministack_register(request)

    def list_tasks(self, request: Request) -> Answer:
        """ListTasks: `startedBy`, if given, "must be the only filter that you use"."""
        others = {"desiredStatus", "family", "serviceName", "launchType", "containerInstance"} & request.keys()
        if request.get("startedBy") and others:
            message = f"startedBy must be the only filter, but {', '.join(sorted(others))} is given too."
            return Refused("InvalidParameterException", message).answer()
        return self._ministack_list_tasks(request)

    def run_task(self, request: Request) -> Answer:
        """RunTask."""
        with self._one_at_a_time:
            try:
                return self._launch(request)
            except Refused as refused:
                return refused.answer()
            except sizes.SizeRefused as error:
                return Refused("ClientException", str(error)).answer()
            except network.NetworkRefused as error:
                return Refused("InvalidParameterException", str(error)).answer()
            except faults.FaultsUnreadable as error:
                return Refused("ServerException", str(error)).answer()

    def _launch(self, request: Request) -> Answer:
        cluster = ecs._resolve_cluster_name(request.get("cluster", "default"))
        if cluster not in ecs._clusters:
            raise Refused("ClusterNotFoundException", "Cluster not found.")
        token = (cluster, request.get("clientToken") or "")
        if known := self._known(token, request):
            return _answer([ecs._tasks[arn] for arn in known.tasks])
        definition = ecs._task_defs.get(ecs._resolve_td_key(request.get("taskDefinition", "")))
        if definition is None:
            raise Refused("ClientException", "TaskDefinition not found.")
        if definition["status"] != "ACTIVE":
            raise Refused("ClientException", "TaskDefinition is inactive")
        size = _require_capacity(request, definition, ecs._clusters[cluster])
        if failure := self._failure(request, definition):
            return _answer([], failure)
        status, headers, body = self._ministack_run_task(request)
        if status != 200:
            return status, headers, body
        started = [ecs._tasks[task["taskArn"]] for task in json.loads(body)["tasks"]]
        for task in started:
            del task["containerInstanceArn"]  # there is none on Fargate
            _show_size(task, size)
            network.attach(task, request)
            self._tasks.journal.save(task)
        answer = _answer(started)
        for task in started:
            self._tasks.admit(task["taskArn"])
        if token[1]:
            arns = tuple(task["taskArn"] for task in started)
            self._launched[token] = Launched(_fingerprint(request), arns, time.time())
        if self._tasks.faults.take(faults.ANSWERED, _names(request, definition)):
            raise Refused("ServerException", "The answer was lost, although the task is launched.")
        return answer

    def _known(self, token: tuple[str, str], request: Request) -> Launched | None:
        """What an earlier request with the same token launched. Raises Refused if that request was different."""
        oldest = time.time() - TOKEN_SECONDS
        self._launched = {key: launched for key, launched in self._launched.items() if launched.at > oldest}
        known = self._launched.get(token) if token[1] else None
        if known is None or any(arn not in ecs._tasks for arn in known.tasks):
            return None
        if known.request != _fingerprint(request):
            raise Refused(
                "ConflictException",
                "The provided clientToken is already in use with a different RunTask request.",
                resourceIds=list(known.tasks),
            )
        return known

    def _failure(self, request: Request, definition: Task) -> str | None:
        """The failure that a fault injects. Raises Refused for a fault that is an error."""
        fault = self._tasks.faults.take(faults.REQUESTED, _names(request, definition))
        if fault is None:
            return None
        if fault.kind == "throttling":
            raise Refused("ThrottlingException", fault.reason or "Rate exceeded")
        return {"capacity": CAPACITY, "vcpu_limit": VCPU_LIMIT}.get(fault.kind) or fault.reason or "RESOURCE:MEMORY"

    def stop_task(self, request: Request) -> Answer:
        """StopTask."""
        cluster = ecs._resolve_cluster_name(request.get("cluster", "default"))
        if cluster not in ecs._clusters:
            return Refused("ClusterNotFoundException", "Cluster not found.").answer()
        task = ecs._resolve_task(request.get("task", ""), cluster)
        if task is None:
            return Refused("InvalidParameterException", "The referenced task was not found.").answer()
        if self._tasks.stop(task, request.get("reason") or "Task stopped by user", "UserInitiated"):
            self._tasks.journal.save(task)
        answer: Answer = json_response({"task": ecs._sanitize(task)})
        return answer


def _names(request: Request, definition: Task) -> set[str]:
    """What a fault may call the task that is asked for."""
    tags = {tag["value"] for tag in request.get("tags") or ()}
    return {definition["family"], request.get("startedBy") or "", *tags}


def _answer(tasks: list[Task], failure: str | None = None) -> Answer:
    failures = [{"reason": failure}] if failure else []
    answer: Answer = json_response({"tasks": [ecs._sanitize(task) for task in tasks], "failures": failures})
    return answer


def _fingerprint(request: Request) -> str:
    return json.dumps(request, sort_keys=True)


def _require_capacity(request: Request, definition: Task, cluster: Task) -> sizes.Size:
    """The size of the requested task. Raises Refused, SizeRefused or NetworkRefused where AWS would refuse."""
    overrides = request.get("overrides") or {}
    if len(json.dumps(overrides, separators=(",", ":"))) > OVERRIDES_LENGTH:
        raise Refused("InvalidParameterException", f"Container Overrides length must be at most {OVERRIDES_LENGTH}")
    named = {container["name"] for container in definition["containerDefinitions"]}
    for override in overrides.get("containerOverrides") or ():
        if override.get("name") not in named:
            raise Refused(
                "InvalidParameterException",
                f"Override for container named {override.get('name')} is not a container in the TaskDefinition.",
            )
    strategy = request.get("capacityProviderStrategy") or (
        None if request.get("launchType") else cluster.get("defaultCapacityProviderStrategy")
    )
    for item in strategy or ():
        if item["capacityProvider"] not in (cluster.get("capacityProviders") or ()):
            raise Refused(
                "InvalidParameterException",
                "The specified capacity provider strategy cannot contain a capacity provider that is not associated"
                " with the cluster. Associate the capacity provider with the cluster and try again.",
            )
    if not strategy and request.get("launchType", "EC2") != "FARGATE":
        raise Refused("InvalidParameterException", "No Container Instances were found in your cluster.")
    if definition["networkMode"] != "awsvpc":
        raise Refused("InvalidParameterException", "Task definition does not support launch_type FARGATE.")
    network.require(request, definition)
    size = sizes.effective(definition, overrides)
    sizes.check_fargate(size)
    return size


def _require_execution_role(definition: Mapping[str, Any]) -> None:
    """Raise Refused if the execution role is missing that Fargate needs to fetch secrets or write logs."""
    if definition.get("executionRoleArn"):
        return
    for container in definition.get("containerDefinitions") or ():
        driver = (container.get("logConfiguration") or {}).get("logDriver")
        needed_for = "log driver awslogs" if driver == "awslogs" else "secrets" if container.get("secrets") else None
        if needed_for:
            raise Refused(
                "ClientException",
                f"Fargate requires task definition to have execution role ARN to support {needed_for}.",
            )


def _show_size(task: Task, size: sizes.Size) -> None:
    """Set the task's real size, which DescribeTasks shows instead of the definition's."""
    task.update(cpu=str(size.cpu), memory=str(size.memory), ephemeralStorage={"sizeInGiB": size.storage})
    overrides = {o.get("name"): o for o in (task["overrides"].get("containerOverrides") or ())}
    for container in task["containers"]:
        for name in ("cpu", "memory"):
            if value := overrides.get(container["name"], {}).get(name):
                container[name] = str(value)
