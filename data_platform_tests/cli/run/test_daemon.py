"""`data-platform run` beside Dagster's daemon. What the two do together is seen in `end_to_end/test_tasks_day.py`."""

from __future__ import annotations

import subprocess
import sys
import time
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest

from data_platform.cli.run import daemon
from data_platform.cli.run.daemon import DaemonLocation, SensorOff
from data_platform.cli.run.location import CodeLocation
from data_platform.local_cloud import processes
from data_platform_tests.local_cloud.ecs.conftest import alive


def location(
    monkeypatch: pytest.MonkeyPatch, *, heard_of: float, runs: list[Any] | None = None
) -> tuple[Any, list[str]]:
    """One whose daemon was last heard of some seconds ago, and what is started for it. `runs`: as they are seen, poll
    by poll."""
    beat = SimpleNamespace(timestamp=time.time() - heard_of)
    seen = iter(runs or [])
    instance = SimpleNamespace(
        get_daemon_heartbeats=lambda: dict.fromkeys(("SENSOR", "QUEUED_RUN_COORDINATOR", "MONITORING"), beat),
        all_instigator_state=lambda: [],
        get_runs=lambda *_, **__: [],
        get_run_by_id=lambda _: next(seen),
        get_run_stats=lambda _: None,
    )
    started: list[str] = []
    monkeypatch.setattr(CodeLocation, "__init__", lambda self, tell: vars(self).update(instance=instance, _tell=tell))
    monkeypatch.setattr(DaemonLocation, "_start", lambda self, tell: started.append("daemon"))
    monkeypatch.setattr(daemon, "_POLL_SECONDS", 0.0)
    return DaemonLocation(lambda line: None), started


def test_a_daemon_that_is_at_work_is_left_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    found, started = location(monkeypatch, heard_of=20)
    assert list(found.take_in()) == [] and started == []


def test_a_daemon_that_ended_a_moment_before_is_missed_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    found, started = location(monkeypatch, heard_of=20)  # its last heartbeat looks as if it was at work
    found.instance.get_daemon_heartbeats = lambda: {}
    list(found.take_in())
    assert started == ["daemon"]


def test_nobody_waits_for_a_sensor_that_is_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    found, _ = location(monkeypatch, heard_of=20)
    other, off = (SimpleNamespace(name=name, status=SimpleNamespace(value="STOPPED")) for name in ("other", "landing"))
    found.instance.all_instigator_state = lambda: [other]
    assert list(found.take_in()) == []
    found.instance.all_instigator_state = lambda: [other, off]
    with pytest.raises(SensorOff, match="switch it on in Dagster's UI"):
        list(found.take_in())


def test_a_failed_run_is_not_told_before_it_is_known_whether_it_is_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(run_id: str, status: dg.DagsterRunStatus, **tags: str) -> dg.DagsterRun:
        tags = {f"dagster/{name}": value for name, value in tags.items()}
        return dg.DagsterRun(job_name="daily", run_id=run_id, status=status, tags=tags)

    failure, success = dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.SUCCESS
    polls = [
        run("first", failure),
        run("first", failure, will_retry="true"),
        run("first", failure, will_retry="true", auto_retry_run_id="second"),
        run("second", success),
    ]
    found, _ = location(monkeypatch, heard_of=20, runs=polls)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=0))
    monkeypatch.setattr(found, "_outcome", lambda ended: ended)
    assert found.build("daily", lambda done: None).run_id == "second"


OBSTINATE = """
import signal, subprocess, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
print(child.pid, flush=True)
time.sleep(300)
"""


def test_a_daemon_that_does_not_end_when_asked_leaves_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "STOP_SECONDS", 0.2)
    found, _ = location(monkeypatch, heard_of=20)
    found.instance.dispose = lambda: None
    found._dev = subprocess.Popen([sys.executable, "-c", OBSTINATE], stdout=subprocess.PIPE, text=True)
    with found._dev.stdout as said:
        child = int(said.readline())
    found.close()
    assert not alive(child)
    assert found._dev.poll() is not None
