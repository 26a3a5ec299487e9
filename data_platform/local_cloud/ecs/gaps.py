"""Replaces the parts of ministack 1.5.33 that fall short of ECS or need Docker.

Each gap has a contract test in `data_platform_tests/local_cloud/ecs/`. Services, scaling and `execute-command` are left
alone: the platform doesn't use them.
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
    """Close the gaps; call it once, before the server starts. `state`: the local cloud's folder, with images and logs;
    `data`: the AWS part's folder."""
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
    ecs._maybe_mark_stopped = lambda *_: None  # the task's worker does
    ecs._build_run_kwargs = _run_options(ecs._build_run_kwargs)
    ecs._ts_to_epoch = _epoch
    ecs.get_state = _without_tasks(ecs.get_state)
    resolve = ssm.resolve_parameter_value
    # ECS decrypts a secret that is a SecureString.
    ssm.resolve_parameter_value = lambda name, version=None, decrypt=True: resolve(name, version, decrypt)
    watch.start(tasks, containers)


def _put(task: dict[str, Any]) -> None:
    parts = task["taskArn"].split(":")
    ecs._tasks.set_scoped(parts[4], parts[3], task["taskArn"], task)


def _run_options(build: Any) -> Any:
    """Adds what ministack leaves out of a container's options: entry point, folder, limits of memory, and the variables
    that Fargate sets."""

    def options(definition: dict[str, Any], task_definition: dict[str, Any], env: dict[str, str], *rest: Any) -> Any:
        found = build(definition, task_definition, env, *rest)
        found.pop("platform", None)  # this machine has only one
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
    """Times have milliseconds, as in ECS's answers; ministack truncates them."""
    if not isinstance(value, str):
        return value
    try:
        return datetime.fromisoformat(value).timestamp()
    except ValueError:
        return value


def _without_tasks(get_state: Any) -> Any:
    """Leave the tasks out of ministack's saved state, which would grow with each: the journal keeps them."""

    def state() -> Any:
        kept = get_state()
        kept["tasks"] = type(ecs._tasks)()
        return kept

    return state
