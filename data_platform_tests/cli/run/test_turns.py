"""Runs that are executed here wait for their pools: commands as processes, with real runs in a real instance."""

# No `from __future__ import annotations`: Dagster reads the asset's.

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from data_platform.cli.run import location, turns
from data_platform.cli.run.location import CodeLocation
from data_platform.cli.run.turns import PoolTaken
from data_platform.cli.signals import end_as_by_ctrl_c
from data_platform.runs import run_lock
from data_platform.runs.abandoned import report_abandoned
from data_platform_tests.dagster_internals import job_in, workspace_of
from data_platform_tests.end_to_end.platform import wait_for

SCENE = {"folder": Path()}


@dg.asset(pool="models")
def model() -> None:
    folder = SCENE["folder"]
    write(folder / "building", "+")
    while not (folder / "go").exists():
        time.sleep(0.02)
    time.sleep(0.3)
    write(folder / "building", "-")


@dg.asset
def plain() -> None: ...


DEFINITIONS = dg.Definitions(assets=[model, plain], jobs=[dg.define_asset_job("daily", [model])])
MODEL, PLAIN = [dg.AssetKey("model")], [dg.AssetKey("plain")]


class Here(CodeLocation):
    """A command's location with this file's definitions."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.definitions, self.instance = DEFINITIONS, dg.DagsterInstance.from_ref(instance.get_ref())
        self._tell = lambda line: write(SCENE["folder"] / "told", f"{line}\n")


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    monkeypatch.setattr(turns, "_POLL_SECONDS", 0.05)
    monkeypatch.setattr(turns, "LAUNCH_SECONDS", 0.0)
    monkeypatch.setattr(location, "_locks", lambda: tmp_path / "runs")
    monkeypatch.setitem(SCENE, "folder", tmp_path)
    for name in ("building", "told", "go"):
        (tmp_path / name).touch()
    with dg.instance_for_test({"concurrency": {"pools": {"granularity": "run", "default_limit": 1}}}) as made:
        made.get_runs_count()  # SQLite's tables: two that make them fail each other
        yield made


def write(file: Path, text: str) -> None:
    with file.open("a") as appended:
        appended.write(text)


def most_at_once() -> int:
    """How many runs have built at the same time, at most."""
    marks = (SCENE["folder"] / "building").read_text()
    return max((marks[:n].count("+") - marks[:n].count("-") for n in range(len(marks) + 1)), default=0)


def told() -> list[str]:
    return (SCENE["folder"] / "told").read_text().splitlines()


class Command:
    """A process that executes a run of the model."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self._process = multiprocessing.get_context("fork").Process(target=self._execute, args=(instance,))
        self._process.start()

    def _execute(self, instance: dg.DagsterInstance) -> None:
        end_as_by_ctrl_c()
        os._exit(0 if Here(instance).execute(assets=MODEL).success else 1)

    def send(self, sign: signal.Signals) -> None:
        assert self._process.pid
        os.kill(self._process.pid, sign)

    def succeeds(self) -> bool:
        self._process.join(60)
        self._process.kill()
        self._process.join()
        return self._process.exitcode == 0


def queued(instance: dg.DagsterInstance, *events: dg.DagsterEventType) -> str:
    """A run that came by the queue, and what has become of it; its id."""
    with workspace_of(instance, __file__) as workspace:
        origin = job_in(workspace, "daily").get_remote_origin()
    run_id = instance.create_run_for_job(DEFINITIONS.resolve_job_def("daily"), remote_job_origin=origin).run_id
    for event in (dg.DagsterEventType.PIPELINE_ENQUEUED, *events):
        report(instance, run_id, event)
    return run_id


def report(instance: dg.DagsterInstance, run_id: str, event: dg.DagsterEventType) -> None:
    instance.report_dagster_event(dg.DagsterEvent(event.value, "daily"), run_id)


def until(condition: Callable[[], Any]) -> None:
    wait_for(lambda: bool(condition()), 60, "the condition", every=0.02)


def statuses(instance: dg.DagsterInstance) -> list[str]:
    return sorted(run.status.value for run in instance.get_runs())


def test_commands_at_once_never_build_together(instance: dg.DagsterInstance) -> None:
    commands = [Command(instance) for _ in range(3)]
    assert [command.succeeds() for command in commands] == [True] * 3
    assert most_at_once() == 1


def test_a_run_waits_for_one_of_the_queue_and_says_so(instance: dg.DagsterInstance) -> None:
    other = queued(instance, dg.DagsterEventType.RUN_STARTING, dg.DagsterEventType.RUN_START)
    command = Command(instance)
    until(told)
    assert f"waiting for the pool models: the run {other} is STARTED since " in told()[0]
    assert most_at_once() == 0 and statuses(instance) == ["STARTED", "STARTED"], "the queue counts it"
    report(instance, other, dg.DagsterEventType.RUN_SUCCESS)
    assert command.succeeds() and most_at_once() == 1


def test_one_that_the_queue_launches_at_the_same_moment_goes_first(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The daemon looked before this run was STARTED, and launches after this one has looked."""
    monkeypatch.setattr(turns, "LAUNCH_SECONDS", 600.0)
    other = queued(instance)
    command = Command(instance)
    until(told)
    report(instance, other, dg.DagsterEventType.RUN_START)
    time.sleep(1)
    assert most_at_once() == 0
    report(instance, other, dg.DagsterEventType.RUN_SUCCESS)
    assert command.succeeds()


def test_a_queue_that_launches_nothing_is_not_waited_for(instance: dg.DagsterInstance) -> None:
    queued(instance)
    assert Command(instance).succeeds()


def test_a_pool_s_limit_is_what_counts(instance: dg.DagsterInstance) -> None:
    queued(instance, dg.DagsterEventType.RUN_START)
    instance.event_log_storage.set_concurrency_slots("models", 2)
    assert Here(instance).execute(assets=MODEL).success
    assert statuses(instance) == ["STARTED", "SUCCESS"]


@pytest.mark.parametrize("gap", [0.001, 0.01, 0.04])
def test_a_signal_that_is_said_twice_leaves_no_run_under_way(
    instance: dg.DagsterInstance, tmp_path: Path, gap: float
) -> None:
    queued(instance, dg.DagsterEventType.RUN_START)
    command = Command(instance)
    until(told)
    command.send(signal.SIGTERM)
    time.sleep(gap)
    command.send(signal.SIGTERM)
    assert not command.succeeds()
    assert statuses(instance) == ["CANCELED", "STARTED"] or report_abandoned(instance, tmp_path / "runs")
    assert statuses(instance) in (["CANCELED", "STARTED"], ["FAILURE", "STARTED"])


def test_a_run_whose_end_could_not_be_written_down_is_found_by_its_lock(
    instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = Here(instance)
    (tmp_path / "go").touch()
    monkeypatch.setattr(here.instance, "get_run_by_id", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        here.execute(assets=PLAIN)
    assert len(run_lock.free(tmp_path / "runs")) == 1


def test_a_pool_that_is_closed_is_waited_for(instance: dg.DagsterInstance) -> None:
    instance.event_log_storage.set_concurrency_slots("models", 0)
    command = Command(instance)
    until(told)
    assert most_at_once() == 0
    instance.event_log_storage.set_concurrency_slots("models", 1)
    assert command.succeeds()


def test_a_run_without_pools_waits_for_none(instance: dg.DagsterInstance) -> None:
    queued(instance, dg.DagsterEventType.RUN_START)
    assert Here(instance).execute(assets=PLAIN).success


def test_a_killed_run_is_not_waited_for(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    killed = queued(instance, dg.DagsterEventType.RUN_START)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / f"{killed}.lock").touch()
    assert Command(instance).succeeds()
    assert statuses(instance) == ["FAILURE", "SUCCESS"]


def test_it_gives_up_with_what_to_do(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "GIVE_UP_SECONDS", 0.0)
    other = queued(instance, dg.DagsterEventType.RUN_START)
    with pytest.raises(PoolTaken, match=f"{other} is STARTED.*end it in Dagster's UI"):
        Here(instance).execute(assets=MODEL)
    assert statuses(instance) == ["FAILURE", "STARTED"] and most_at_once() == 0


def test_ctrl_c_ends_the_wait_and_the_run(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    queued(instance, dg.DagsterEventType.RUN_START)
    here = Here(instance)
    here._tell = lambda line: signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        here.execute(assets=MODEL)
    assert statuses(instance) == ["CANCELED", "STARTED"]
    assert list((tmp_path / "runs").iterdir()) == []
