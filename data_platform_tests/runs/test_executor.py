"""The process of a run is known to live while it executes."""

from collections.abc import Iterator
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


CHECK = dg.AssetCheckSpec("complete", asset="model", blocking=True)


@dg.asset(check_specs=[CHECK])
def model(context: dg.AssetExecutionContext) -> Iterator[object]:
    if "fails" in context.run.tags:
        raise dg.Failure("no such table")
    yield dg.MaterializeResult(check_results=[dg.AssetCheckResult(check_name="complete", passed=True)])


def build_model() -> dg.JobDefinition:
    executor = run_executor(settings().model_copy(update={"runs_on": "ecs"}))
    defs = dg.Definitions(assets=[model], jobs=[dg.define_asset_job("build", [model])], executor=executor)
    return defs.resolve_job_def("build")


def test_a_failed_run_leaves_the_result_of_a_check_that_it_did_not_come_to() -> None:
    with dg.instance_for_test() as instance:
        assert dg.execute_job(dg.reconstructable(build_model), instance).success
        assert not dg.execute_job(dg.reconstructable(build_model), instance, tags={"fails": ""}).success
        latest, failed, first = instance.event_log_storage.get_asset_check_execution_history(CHECK.key, limit=3)
    assert [latest.status.value, failed.status.value, first.status.value] == ["SUCCEEDED", "PLANNED", "SUCCEEDED"]


def test_a_run_that_is_a_process_holds_its_lock_while_it_executes() -> None:
    folder = run_lock.folder_in(settings().state_dir)
    with dg.instance_for_test() as instance:
        ended = dg.execute_job(dg.reconstructable(looked_at), instance)
        assert ended.success
    assert not (folder / f"{ended.run_id}.lock").exists()


def test_a_run_whose_end_could_not_be_stored_keeps_its_lock_file(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = run_lock.folder_in(settings().state_dir)
    with dg.instance_for_test() as instance:
        store = instance.event_log_storage.store_event

        def down_at_the_end(entry: dg.EventLogEntry) -> None:
            if _ends(entry):
                raise ConnectionError("the database is down")
            store(entry)

        monkeypatch.setattr(instance.event_log_storage, "store_event", down_at_the_end)
        with pytest.raises(ConnectionError):
            dg.execute_job(dg.reconstructable(looked_at), instance)
        (run,) = instance.get_runs()
    assert not run.is_finished
    (folder / f"{run.run_id}.lock").unlink()  # `report_abandoned` removes it once this process has ended


def _ends(entry: dg.EventLogEntry) -> bool:
    return entry.dagster_event is not None and entry.dagster_event.event_type_value in (
        "PIPELINE_SUCCESS",
        "PIPELINE_FAILURE",
    )


@pytest.mark.parametrize("runs_on", ["process", "ecs"])
def test_what_is_configured_of_it_is_what_dagster_s_own_takes(runs_on: str, tmp_path: Path) -> None:
    given = settings().model_copy(update={"runs_on": runs_on, "state_dir": tmp_path})
    found = run_executor(given)
    assert found.name == dg.in_process_executor.name
    assert (
        found.config_schema.as_field().config_type.key
        == dg.in_process_executor.config_schema.as_field().config_type.key
    )
