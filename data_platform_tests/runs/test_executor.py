"""The process of a run is known to live while it executes."""

from pathlib import Path

import dagster as dg
import pytest

from data_platform.environment import settings
from data_platform.runs import run_lock
from data_platform.runs.executor import run_executor


@dg.op
def looks(context: dg.OpExecutionContext) -> list[str]:
    folder = run_lock.folder_in(settings().state_dir)
    mine = folder / f"{context.run_id}.lock"
    assert mine.exists() and mine not in run_lock.free(folder)
    return [context.run_id]


@dg.job(executor_def=run_executor(settings().model_copy(update={"runs_on": "process"})))
def looked_at() -> None:
    looks()


def test_a_run_that_is_a_process_holds_its_lock_while_it_executes() -> None:
    folder = run_lock.folder_in(settings().state_dir)
    with dg.instance_for_test() as instance:
        ended = dg.execute_job(dg.reconstructable(looked_at), instance)
        assert ended.success
    assert not (folder / f"{ended.run_id}.lock").exists()


@pytest.mark.parametrize("runs_on", ["process", "ecs"])
def test_what_is_configured_of_it_is_what_dagster_s_own_takes(runs_on: str, tmp_path: Path) -> None:
    given = settings().model_copy(update={"runs_on": runs_on, "state_dir": tmp_path})
    found = run_executor(given)
    assert found.name == dg.in_process_executor.name
    assert (
        found.config_schema.as_field().config_type.key
        == dg.in_process_executor.config_schema.as_field().config_type.key
    )
