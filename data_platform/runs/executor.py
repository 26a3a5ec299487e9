"""Executes a run's steps in the run's own process, one after the other. A step loads its feeds in parallel threads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg

from data_platform.environment import Settings
from data_platform.runs import run_lock
from data_platform.runs.interrupted import keep_check_results

_WITHOUT_SUCCESS = {dg.DagsterEventType.RUN_FAILURE, dg.DagsterEventType.RUN_CANCELED}


def run_executor(given: Settings) -> dg.ExecutorDefinition:
    """Dagster's in-process executor, which also keeps the checks' results at the end of a run that did not succeed. A
    run that is a process holds its lock, so that `abandoned` notices when it is killed. For a run that is a task, ECS
    notices."""
    steps: Any = dg.in_process_executor
    folder = run_lock.folder_in(given.state_dir) if given.runs_on == "process" else None
    return dg.ExecutorDefinition(
        name=steps.name,
        config_schema=steps.config_schema,
        executor_creation_fn=lambda context: _InProcess(steps.executor_creation_fn(context), folder),
        description=steps.description,
    )


class _InProcess(dg.Executor):
    """Executes with another executor. `folder`: that of the locks, None for a run that holds none."""

    def __init__(self, steps: dg.Executor, folder: Path | None) -> None:
        self._steps, self._folder = steps, folder

    @property
    def retries(self) -> Any:
        return self._steps.retries

    @property
    def step_dependency_config(self) -> Any:
        return self._steps.step_dependency_config

    def execute(self, plan_context: Any, execution_plan: Any) -> Iterator[Any]:
        """The steps' events. The lock is held until Dagster has stored the run's end, or until this process ends. If
        the database is away by then, the lock file stays, and `abandoned` finds the run."""
        instance, run_id, folder = plan_context.instance, plan_context.run_id, self._folder
        lock = run_lock.hold(folder, run_id) if folder else None

        def at_the_end(entry: dg.EventLogEntry) -> None:
            end = entry.dagster_event.event_type if entry.dagster_event else None
            if end in _WITHOUT_SUCCESS:
                keep_check_results(instance, run_id)
            if folder and lock and (end in _WITHOUT_SUCCESS or end == dg.DagsterEventType.RUN_SUCCESS):
                run_lock.let_go(folder, run_id)
                lock.close()

        instance.add_event_listener(run_id, at_the_end)
        yield from self._steps.execute(plan_context, execution_plan)
