"""Executes a run's steps in the run's own process, one after the other. A step loads its feeds in parallel threads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg

from data_platform.environment import Settings
from data_platform.runs import run_lock


def run_executor(given: Settings) -> dg.ExecutorDefinition:
    """Dagster's in-process executor. A run that is a process holds its lock while it executes, so that `abandoned`
    notices when it is killed. For a run that is a task, ECS notices."""
    if given.runs_on == "ecs":
        return dg.in_process_executor
    steps: Any = dg.in_process_executor
    folder = run_lock.folder_in(given.state_dir)
    return dg.ExecutorDefinition(
        name=steps.name,
        config_schema=steps.config_schema,
        executor_creation_fn=lambda context: _Held(steps.executor_creation_fn(context), folder),
        description=steps.description,
    )


class _Held(dg.Executor):
    """Executes with another executor, and holds the run's lock meanwhile."""

    def __init__(self, steps: dg.Executor, folder: Path) -> None:
        self._steps, self._folder = steps, folder

    @property
    def retries(self) -> Any:
        return self._steps.retries

    @property
    def step_dependency_config(self) -> Any:
        return self._steps.step_dependency_config

    def execute(self, plan_context: Any, execution_plan: Any) -> Iterator[Any]:
        """The steps' events."""
        with run_lock.held(self._folder, plan_context.run_id):
            yield from self._steps.execute(plan_context, execution_plan)
