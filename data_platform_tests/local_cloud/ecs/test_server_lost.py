"""Tasks and the server that runs them: neither a stop nor a kill of it leaves a process, and ECS forgets no task."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from data_platform.local_cloud.processes import stop
from data_platform_tests.end_to_end.platform import patience, wait_for
from data_platform_tests.local_cloud.clouds import saved
from data_platform_tests.local_cloud.ecs.conftest import CLUSTER, Server, alive, gone_within, serving

pytestmark = pytest.mark.server

FAMILY = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
sleep = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(300)"
child = subprocess.Popen([sys.executable, "-c", sleep])
away = subprocess.Popen([sys.executable, "-c", sleep], start_new_session=True, stdout=subprocess.DEVNULL)
open(sys.argv[1], "w").write(f"{os.getpid()} {child.pid} {away.pid}")
print("up", flush=True)
time.sleep(300)
"""


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[Server]:
    """A server that the test may kill."""
    with serving(tmp_path / "state") as server:
        yield server


def family(server: Server, tmp_path: Path, name: str) -> tuple[str, list[int]]:
    """A task that minds no SIGTERM, and its processes."""
    written = tmp_path / name
    overrides = {"containerOverrides": [{"name": "run", "command": ["-c", FAMILY, str(written)]}]}
    arn = server.run("", overrides=overrides)
    server.said(arn, "up")
    pids = [int(pid) for pid in written.read_text().split()]
    assert all(map(alive, pids))
    return arn, pids


def test_a_killed_server_takes_its_tasks_with_it_and_remembers_them(mortal: Server, tmp_path: Path) -> None:
    tasks = [family(mortal, tmp_path, name) for name in ("one", "two")]
    ended = mortal.stopped(mortal.run("raise SystemExit(4)"))
    mortal.kill()
    assert gone_within([pid for _, pids in tasks for pid in pids], 60)
    mortal.start()
    for arn, _ in tasks:
        task = mortal.task(arn)
        assert (task["lastStatus"], task["desiredStatus"]) == ("STOPPED", "STOPPED")
        assert task["stopCode"] == "TerminationNotice"
        assert "underlying infrastructure" in task["stoppedReason"]
        assert "exitCode" not in task["containers"][0], "nobody saw it end"
    assert mortal.task(ended["taskArn"])["containers"][0]["exitCode"] == 4
    time.sleep(0.1)
    assert mortal.client("ecs").list_tasks(cluster=CLUSTER, desiredStatus="RUNNING")["taskArns"] == []


def test_a_stopped_server_leaves_no_task_alive(mortal: Server, tmp_path: Path) -> None:
    _, pids = family(mortal, tmp_path, "one")
    began = time.monotonic()
    assert stop(mortal.process, first=mortal.part.stop_signal), "it stops when asked, whatever its tasks do"
    assert gone_within(pids, 60)
    assert time.monotonic() - began < patience(10)
    mortal.start()


def test_definitions_and_revisions_outlive_a_kill(mortal: Server) -> None:
    mortal.define("kept")
    mortal.define("kept", environment=[{"name": "A", "value": "1"}])
    wait_for(lambda: "kept:2" in saved(mortal.layout, "ecs"), 120, "what is declared is saved")
    mortal.kill()
    mortal.start()
    definition = mortal.client("ecs").describe_task_definition(taskDefinition="kept")["taskDefinition"]
    assert definition["revision"] == 2
    assert mortal.client("ecs").describe_clusters(clusters=[CLUSTER])["clusters"][0]["status"] == "ACTIVE"


def test_a_container_whose_first_process_is_killed_is_gone(mortal: Server, tmp_path: Path) -> None:
    arn, pids = family(mortal, tmp_path, "one")
    (first,) = [child for child in mortal.process.children() if child.pid not in pids]
    first.kill()
    assert mortal.stopped(arn)["containers"][0]["exitCode"] == 137
    assert not any(map(alive, pids))


def test_a_task_is_described_for_an_hour_after_it_stopped(mortal: Server) -> None:
    old, kept = (mortal.stopped(mortal.run("print('said')"))["taskArn"] for _ in range(2))
    assert mortal.lines(old) == ["said"]
    mortal.kill()
    written = mortal.layout.data("aws") / "ecs" / "tasks" / f"{old.rsplit('/', 1)[-1]}.json"
    task = json.loads(written.read_text())
    written.write_text(json.dumps({**task, "stoppedAt": "2026-01-01T00:00:00.000Z"}))
    mortal.start()
    mortal.provision()  # what is declared is saved every two seconds, and the kill may have come before
    mortal.define()
    assert mortal.task(old)["lastStatus"] == "STOPPED"
    mortal.stopped(mortal.run("pass"))
    wait_for(lambda: not written.exists(), 120, "the old task is forgotten", every=0.02)
    described = mortal.client("ecs").describe_tasks(cluster=CLUSTER, tasks=[old, kept])
    assert [task["taskArn"] for task in described["tasks"]] == [kept]
    assert [(failure["arn"], failure["reason"]) for failure in described["failures"]] == [(old, "MISSING")]
