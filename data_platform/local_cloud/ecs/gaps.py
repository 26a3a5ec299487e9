"""Puts the local ECS in place of what ministack 1.5.33 does where it falls short of ECS, or has no Docker for it.

Each gap has a contract test in `data_platform_tests/local_cloud/ecs/`. Services, scaling and `execute-command` stay as
they are: the platform uses none.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from ministack.core.responses import get_region
from ministack.services import ecs, ssm

from data_platform.local_cloud.ecs import sizes, watch
from data_platform.local_cloud.ecs.api import Api
from data_platform.local_cloud.ecs.containers import Containers
from data_platform.local_cloud.ecs.faults import Faults
from data_platform.local_cloud.ecs.journal import Journal
from data_platform.local_cloud.ecs.lifecycle import Tasks


def close(state: Path, data: Path) -> None:
    """`state`: the local cloud's folder, where images and logs are; `data`: the AWS part's. Called once, before the
    server serves."""
    tasks = Tasks(Journal(data / "ecs" / "tasks"), Faults(data / "faults.json"))
    containers = Containers(state, data, tasks.wake)
    client = containers.client()
    api = Api(tasks, ecs._run_task, ecs._register_task_definition, ecs._list_tasks)
    tasks.restore(_put)

    replaced = {
        "RunTask": api.run_task,
        "StopTask": api.stop_task,
        "RegisterTaskDefinition": api.register,
        "ListTasks": api.list_tasks,
    }
    ecs._ACTION_MAP.update(replaced)
    ecs._run_task, ecs._stop_task, ecs._register_task_definition, ecs._list_tasks = replaced.values()
    ecs._get_docker = lambda: client
    ecs._run_task_worker = tasks.work
    ecs._maybe_mark_stopped = lambda *_: None  # the task's worker says when it has stopped
    ecs._build_run_kwargs = _run_options(ecs._build_run_kwargs)
    ecs._ts_to_epoch = _epoch
    ecs.get_state = _without_tasks(ecs.get_state)
    resolve = ssm.resolve_parameter_value
    # A secret that is a SecureString comes decrypted.
    ssm.resolve_parameter_value = lambda name, version=None, decrypt=True: resolve(name, version, decrypt)
    watch.start(tasks, containers)


def _put(task: dict[str, Any]) -> None:
    parts = task["taskArn"].split(":")
    ecs._tasks.set_scoped(parts[4], parts[3], task["taskArn"], task)


def _run_options(build: Any) -> Any:
    """What of a container definition ministack doesn't hand on: entry point, folder, and the limits of memory; and the
    variables that Fargate sets."""

    def options(definition: dict[str, Any], task_definition: dict[str, Any], env: dict[str, str], *rest: Any) -> Any:
        found = build(definition, task_definition, env, *rest)
        found.pop("platform", None)  # there is one only: this machine's
        task = ecs._tasks[found["labels"]["com.amazonaws.ecs.task-arn"]]
        shown = next(shown for shown in task["containers"] if shown["name"] == definition["name"])
        found["environment"] = {
            "AWS_REGION": get_region(),
            "AWS_DEFAULT_REGION": get_region(),
            "AWS_EXECUTION_ENV": "AWS_ECS_FARGATE",
            **env,
        }
        limit = int(shown.get("memory") or 0) if definition.get("memory") or _overridden(task, definition) else 0
        return {
            **found,
            "entrypoint": definition.get("entryPoint"),
            "working_dir": definition.get("workingDirectory"),
            "memory": limit * sizes.MIB or None,
            "task_memory": int(task["memory"]) * sizes.MIB,
        }

    return options


def _overridden(task: dict[str, Any], definition: dict[str, Any]) -> bool:
    overrides = task["overrides"].get("containerOverrides") or ()
    return any(override.get("name") == definition["name"] and override.get("memory") for override in overrides)


def _epoch(value: Any) -> Any:
    """As ECS answers them, times have milliseconds; ministack cuts them off."""
    if not isinstance(value, str):
        return value
    try:
        return datetime.fromisoformat(value).timestamp()
    except ValueError:
        return value


def _without_tasks(get_state: Any) -> Any:
    """The journal keeps the tasks; saving them all again and again would take longer and longer."""

    def state() -> Any:
        kept = get_state()
        kept["tasks"] = type(ecs._tasks)()
        return kept

    return state
