"""Runs whose process is gone, and those that only look so."""

from __future__ import annotations

import time
from pathlib import Path

import dagster as dg
import pytest

from data_platform.runs import run_lock
from data_platform.runs.abandoned import report_abandoned

RUN = "00000000-0000-0000-0000-000000000001"
STARTED = dg.DagsterRunStatus.STARTED


def reported(folder: Path, status: dg.DagsterRunStatus = STARTED, tags: dict[str, str] | None = None) -> list[str]:
    """What is reported where there is one run, twice."""
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_run(dg.DagsterRun(job_name="j", run_id=RUN, status=status, tags=tags))
        found = report_abandoned(instance, folder)
        assert report_abandoned(instance, folder) == []
        return found


def test_a_run_whose_lock_nobody_holds_has_failed(tmp_path: Path) -> None:
    (tmp_path / f"{RUN}.lock").touch()
    assert reported(tmp_path) == [RUN]
    assert list(tmp_path.iterdir()) == []


def test_a_run_whose_process_lives_goes_on_whoever_launched_it(tmp_path: Path) -> None:
    gone = {".dagster/grpc_info": '{"host": "localhost", "socket": "/nobody/listens"}'}
    with run_lock.held(tmp_path, RUN):
        assert reported(tmp_path, tags=gone) == []


def test_a_run_of_another_machine_is_left_alone(tmp_path: Path) -> None:
    elsewhere = {".dagster/grpc_info": '{"host": "localhost", "socket": "/on/their/disk"}'}
    assert reported(tmp_path, tags=elsewhere) == []


def test_a_run_that_came_to_its_end_keeps_it(tmp_path: Path) -> None:
    (tmp_path / f"{RUN}.lock").touch()  # killed between its last event and its end
    assert reported(tmp_path, status=dg.DagsterRunStatus.SUCCESS) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("started_ago", "gone"), [(90.0, True), (5.0, False)])
def test_where_all_runs_are_here_a_started_run_without_a_lock_file_has_failed(
    tmp_path: Path, started_ago: float, gone: bool
) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_run(dg.DagsterRun(job_name="j", run_id=RUN))
        start = dg.DagsterEvent(dg.DagsterEventType.RUN_START.value, "j")
        instance.report_dagster_event(start, RUN, timestamp=time.time() - started_ago)
        assert report_abandoned(instance, tmp_path) == []
        assert report_abandoned(instance, tmp_path, all_here=True) == ([RUN] if gone else [])


def test_where_all_runs_are_here_a_run_whose_process_lives_goes_on(tmp_path: Path) -> None:
    with dg.DagsterInstance.ephemeral() as instance, run_lock.held(tmp_path, RUN):
        instance.add_run(dg.DagsterRun(job_name="j", run_id=RUN, status=STARTED))
        assert report_abandoned(instance, tmp_path, all_here=True) == []


def test_a_run_that_ends_while_it_is_looked_at_keeps_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_run(dg.DagsterRun(job_name="j", run_id=RUN, status=STARTED))

        def ends_and_lets_go(folder: Path) -> list[Path]:
            instance.report_dagster_event(dg.DagsterEvent(dg.DagsterEventType.RUN_SUCCESS.value, "j"), RUN)
            return [folder / f"{RUN}.lock"]

        monkeypatch.setattr(run_lock, "free", ends_and_lets_go)
        assert report_abandoned(instance, tmp_path) == []
        run = instance.get_run_by_id(RUN)
        assert run is not None and run.status == dg.DagsterRunStatus.SUCCESS
