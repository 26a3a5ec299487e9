"""Runs that the command executes itself, in a real instance: progress, failures, and what a signal leaves."""

# No `from __future__ import annotations`: Dagster reads the asset's.

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest

from data_platform.cli.run import here
from data_platform.cli.run.here import RunsHere
from data_platform.cli.signals import end_as_by_ctrl_c
from data_platform.runs import run_lock
from data_platform.runs.abandoned import report_abandoned
from data_platform_tests.end_to_end.platform import wait_for

SCENE = {"folder": Path()}


@dg.asset
def plain() -> None: ...


@dg.asset(deps=[plain])
def model() -> None:
    folder = SCENE["folder"]
    (folder / "building").touch()
    while not (folder / "go").exists():
        time.sleep(0.02)


@dg.asset
def broken() -> None:
    raise dg.Failure("no such table")


DEFINITIONS = dg.Definitions(
    assets=[plain, model, broken], jobs=[dg.define_asset_job("daily", [plain, model])]
).get_repository_def()


@pytest.fixture(scope="module")
def on_disk() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test(overrides={"run_retries": {"enabled": True, "max_retries": 1}}) as made:
        yield made


@pytest.fixture
def instance(on_disk: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dg.DagsterInstance:
    monkeypatch.setattr(here, "run_locks", lambda: tmp_path / "runs")
    monkeypatch.setitem(SCENE, "folder", tmp_path)
    on_disk.wipe()
    return on_disk


def runs_here(instance: dg.DagsterInstance) -> RunsHere:
    location: Any = SimpleNamespace(instance=instance, repository=DEFINITIONS)
    return RunsHere(location)


def statuses(instance: dg.DagsterInstance) -> list[str]:
    return sorted(run.status.value for run in instance.get_runs())


def test_a_job_reports_its_progress_and_keeps_its_tags(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    (tmp_path / "go").touch()
    progress: list[int] = []
    outcome = runs_here(instance).build("daily", {"made": "of"}, progress.append)
    assert outcome.success and progress == [1, 2]
    assert instance.get_runs()[0].tags["made"] == "of"


def test_a_failure_is_in_the_outcome(instance: dg.DagsterInstance) -> None:
    outcome = runs_here(instance).execute([dg.AssetKey("broken")], None, landing_only=False)
    assert not outcome.success and outcome.failures == ("broken: no such table",)
    assert statuses(instance) == ["FAILURE"]


def test_no_daemon_retries_a_failed_run_of_the_command(instance: dg.DagsterInstance) -> None:
    """Whoever called the command has seen the failure, and calls it again."""
    assert instance.run_retries_enabled and instance.run_retries_max_retries == 1
    runs_here(instance).execute([dg.AssetKey("broken")], None, landing_only=False)
    (run,) = instance.get_runs()
    assert run.tags["dagster/will_retry"] == "false"


def _build(instance: dg.DagsterInstance) -> None:
    end_as_by_ctrl_c()
    with dg.DagsterInstance.from_ref(instance.get_ref()) as own:
        os._exit(0 if runs_here(own).build("daily", {}, lambda done: None).success else 1)


@pytest.mark.parametrize(("sign", "times"), [(signal.SIGTERM, 1), (signal.SIGINT, 2)])
def test_a_signal_leaves_no_run_under_way(
    instance: dg.DagsterInstance, tmp_path: Path, sign: signal.Signals, times: int
) -> None:
    command = multiprocessing.get_context("fork").Process(target=_build, args=(instance,))
    command.start()
    wait_for((tmp_path / "building").exists, 60, "the model's step", every=0.02)
    for _ in range(times):
        assert command.pid
        os.kill(command.pid, sign)
        time.sleep(0.01)
    command.join(60)
    assert command.exitcode == 1
    report_abandoned(instance, tmp_path / "runs")
    assert [(run.is_finished, run.is_success) for run in instance.get_runs()] == [(True, False)]


def test_a_killed_run_is_found_by_its_lock(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    command = multiprocessing.get_context("fork").Process(target=_build, args=(instance,))
    command.start()
    wait_for((tmp_path / "building").exists, 60, "the model's step", every=0.02)
    command.kill()
    command.join(60)
    assert len(report_abandoned(instance, tmp_path / "runs")) == 1
    assert statuses(instance) == ["FAILURE"]


def test_a_run_whose_end_could_not_be_written_is_found_by_its_lock(
    instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instance, "get_run_by_id", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        runs_here(instance).execute([dg.AssetKey("plain")], None, landing_only=False)
    assert len(run_lock.free(tmp_path / "runs")) == 1
