"""The one module that uses Dagster's private names: a daemon's inner loop, and the check of a dagster.yaml.

Dagster offers nothing public for these. An upgrade of Dagster that breaks tests breaks them here.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import dagster as dg
import yaml
from dagster._core.definitions.declarative_automation.automation_condition_evaluator import (
    get_automation_tick_settle_delay_seconds,
)
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.instance.config import dagster_instance_config
from dagster._core.test_utils import MockedRunLauncher, in_process_test_workspace
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon
from dagster._serdes import ConfigurableClass, ConfigurableClassData

settle_seconds = get_automation_tick_settle_delay_seconds
"""How long Dagster waits before it evaluates automation conditions, by the environment."""


class Launcher(MockedRunLauncher):
    """Starts nothing, and can't reach the code server while `away` is set."""

    away = False

    def launch_run(self, context: Any) -> Any:
        if Launcher.away:
            raise DagsterUserCodeUnreachableError("the code server takes no calls")
        return super().launch_run(context)


LAUNCHER = {"module": __name__, "class": Launcher.__name__}
"""A dagster.yaml's `run_launcher` that is `Launcher`."""


def workspace_of(instance: dg.DagsterInstance, python_file: str) -> AbstractContextManager[Any]:
    """The workspace whose one code location is a Python file."""
    return in_process_test_workspace(instance, LoadableTargetOrigin(python_file=python_file))


def job_in(workspace: Any, name: str) -> Any:
    """A job of the workspace's one repository, as a daemon knows it."""
    (location,) = workspace.code_locations
    (repository,) = location.get_repositories().values()
    return repository.get_full_job(name)


def dequeue(instance: dg.DagsterInstance, workspace: object) -> list[str]:
    """Have Dagster's daemon look at the queue once. Returns the runs' states."""
    context = SimpleNamespace(instance=instance, create_request_context=lambda: workspace)
    with QueuedRunCoordinatorDaemon(interval_seconds=1) as daemon:
        list(daemon.run_iteration(cast(Any, context)))
    return sorted(run.status.value for run in instance.get_runs())


def reexecuted(instance: dg.DagsterInstance, run_id: str) -> set[dg.AssetKey]:
    """The assets that a retry from failure makes again (FROM_ASSET_FAILURE)."""
    run = instance.get_run_by_id(run_id)
    assert run and run.execution_plan_snapshot_id
    plan = instance.get_execution_plan_snapshot(run.execution_plan_snapshot_id)
    return set(instance.run_domain.get_keys_to_reexecute(run_id, plan)[0])


def checked_configuration(folder: Path) -> Mapping[str, Any]:
    """A folder's dagster.yaml, checked against Dagster's schema."""
    return dagster_instance_config(str(folder))[0]


def configured(part: Mapping[str, Any]) -> object:
    """The object of a dagster.yaml's part with `module`, `class` and `config`."""
    data = ConfigurableClassData(part["module"], part["class"], yaml.safe_dump(part["config"]))
    return data.rehydrate(as_type=ConfigurableClass)
