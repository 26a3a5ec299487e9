"""`data-platform run` beside Dagster's daemon. `end_to_end/test_tasks_day.py` shows what the two do together."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest

from data_platform.cli.project import ROOT, WORKSPACE
from data_platform.cli.run import daemon
from data_platform.cli.run.daemon import DaemonGone, RunsByDaemon, SensorOff, daemon_at_work, workspace_of
from data_platform.environment import Settings, settings
from data_platform.local_cloud import processes
from data_platform.runs.at_work import DEV_STARTED, dev_claim, dev_workspace
from data_platform_tests.local_cloud.ecs.conftest import alive

PROD = SimpleNamespace(environment="prod")


@contextmanager
def process(script: str, command: str, home: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that looks like a script of Dagster's with a command of it."""
    (home / script).write_text("import time; print(flush=True); time.sleep(300)")
    environment = {**os.environ, "DAGSTER_HOME": str(home)}
    with subprocess.Popen(
        [sys.executable, str(home / script), command], env=environment, stdout=subprocess.PIPE
    ) as started:
        assert started.stdout
        started.stdout.readline()
        try:
            yield started
        finally:
            started.kill()


def heard_of(seconds: float, names: tuple[str, ...] = ("SENSOR", "QUEUED_RUN_COORDINATOR")) -> Any:
    """An instance whose daemon sent its last heartbeats so many seconds ago."""
    beat = SimpleNamespace(timestamp=time.time() - seconds)
    return SimpleNamespace(get_daemon_heartbeats=lambda: dict.fromkeys(names, beat))


def local(home: Path) -> Settings:
    """The settings of a laptop on which `dev` was started once."""
    (home / "state").mkdir(parents=True, exist_ok=True)
    (home / "state" / DEV_STARTED).touch()
    return Settings.from_environment({"DAGSTER_HOME": str(home), "DATA_PLATFORM_STATE_DIR": str(home / "state")})


@pytest.mark.parametrize("command", [("dagster", "dev"), ("dagster-daemon", "run")])
def test_on_a_laptop_the_daemons_process_tells_whether_one_is_at_work(command: tuple[str, str], tmp_path: Path) -> None:
    assert not daemon_at_work(heard_of(1), local(tmp_path)), "one that has ended leaves its heartbeats"
    with process(*command, home=tmp_path):
        assert daemon_at_work(heard_of(1), local(tmp_path))
        assert not daemon_at_work(heard_of(1), local(tmp_path / "another"))
    assert not daemon_at_work(heard_of(1), local(tmp_path))


def test_runs_are_asked_of_the_code_server_that_the_daemon_has(tmp_path: Path) -> None:
    laptop = local(tmp_path)
    assert workspace_of(laptop) == WORKSPACE
    with dev_claim(laptop.state_dir):
        assert workspace_of(laptop) == dev_workspace(laptop.state_dir)
    assert workspace_of(laptop) == WORKSPACE
    assert workspace_of(PROD) == ROOT / "deploy" / "workspace.yaml"


def test_elsewhere_its_heartbeats_do(tmp_path: Path) -> None:
    container = Settings.from_environment({"DATA_PLATFORM_STATE_DIR": str(tmp_path)})
    assert daemon_at_work(heard_of(45), container), "the daemon has a container of its own"
    assert daemon_at_work(heard_of(45), PROD)  # type: ignore[arg-type]
    assert not daemon_at_work(heard_of(200), PROD)  # type: ignore[arg-type]
    assert not daemon_at_work(heard_of(1, names=("SENSOR",)), PROD)  # type: ignore[arg-type]


@pytest.fixture
def dev(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that looks like `dagster dev`."""
    with process("dagster", "dev", home=tmp_path) as started:
        yield started


@pytest.fixture(scope="module")
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as made:
        yield made


@pytest.fixture
def watching(
    tmp_path: Path, instance: dg.DagsterInstance, dev: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> Iterator[RunsByDaemon]:
    """Runs of a daemon that is at work on an instance without runs."""
    monkeypatch.setattr(daemon, "_POLL_SECONDS", 0.0)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.setenv("DATA_PLATFORM_STATE_DIR", str(local(tmp_path).state_dir))
    settings.cache_clear()
    yield RunsByDaemon(SimpleNamespace(instance=instance), lambda line: None)  # type: ignore[arg-type]
    settings.cache_clear()


def test_a_daemon_that_is_at_work_takes_files_in(watching: RunsByDaemon) -> None:
    assert list(watching.take_in()) == [] and not watching.busy


def test_a_daemon_that_ends_meanwhile_is_missed_with_what_to_do(
    watching: RunsByDaemon, dev: subprocess.Popen[bytes]
) -> None:
    dev.kill()
    dev.wait()
    with pytest.raises(DaemonGone, match="Run `data-platform run` again: it continues where this one stopped"):
        list(watching.take_in())


def test_nobody_waits_for_a_sensor_that_is_switched_off(
    watching: RunsByDaemon, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, off = (SimpleNamespace(name=name, status=SimpleNamespace(value="STOPPED")) for name in ("other", "landing"))
    monkeypatch.setattr(instance, "all_instigator_state", lambda: [other])
    assert list(watching.take_in()) == []
    monkeypatch.setattr(instance, "all_instigator_state", lambda: [other, off])
    with pytest.raises(SensorOff, match="switch it on in Dagster's UI"):
        list(watching.take_in())


def test_a_failed_run_is_not_reported_before_it_is_known_whether_it_is_retried(
    watching: RunsByDaemon, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(run_id: str, status: dg.DagsterRunStatus, **tags: str) -> dg.DagsterRun:
        tags = {f"dagster/{name}": value for name, value in tags.items()}
        return dg.DagsterRun(job_name="daily", run_id=run_id, status=status, tags=tags)

    failure, success = dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.SUCCESS
    polls = iter(
        [
            run("first", failure),
            run("first", failure, will_retry="true"),
            run("first", failure, will_retry="true", auto_retry_run_id="second"),
            run("second", success),
        ]
    )
    monkeypatch.setattr(instance, "get_run_by_id", lambda _: next(polls))
    answer = '{"data": {"launchRun": {"run": {"runId": "first"}}}}'

    def asked(command: list[str], **_: object) -> object:
        Path(command[command.index("--output") + 1]).write_text(answer)
        return SimpleNamespace(stdout="", stderr="")

    monkeypatch.setattr(subprocess, "run", asked)
    watching.__dict__["_location"].repository = SimpleNamespace(name="here")
    assert watching.build("daily", {}, lambda done: None).run_id == "second"


OBSTINATE = """
import signal, subprocess, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
print(child.pid, flush=True)
time.sleep(300)
"""


def test_a_daemon_that_does_not_end_when_asked_leaves_no_process(
    watching: RunsByDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "STOP_SECONDS", 0.2)
    started = subprocess.Popen([sys.executable, "-c", OBSTINATE], stdout=subprocess.PIPE, text=True)
    watching.__dict__["_dev"] = started
    assert started.stdout
    with started.stdout as said:
        child = int(said.readline())
    watching.close()
    assert not alive(child)
    assert started.poll() is not None
