"""One process of the local cloud: starting, knowing, and above all stopping it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from data_platform.local_cloud import processes
from data_platform.local_cloud.layout import Layout
from data_platform.local_cloud.processes import Part, PartNotReady, Record, log_tail, start, stop, wait_until_ready
from data_platform_tests.end_to_end.platform import patience, wait_for

READY = "open('ready', 'w').close()"
STUBBORN = f"import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); {READY}; time.sleep(60)"
POLITE = f"import time; {READY}; time.sleep(60)"
ABANDONING = (
    "import subprocess, sys, time;"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
    f"open('child', 'w').write(str(child.pid)); {READY}; time.sleep(60)"
)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout.at(tmp_path)
    made.make()
    return made


@pytest.fixture(autouse=True)
def nothing_is_left(layout: Layout) -> Iterator[None]:
    yield
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def part(layout: Layout, program: str) -> Part:
    def ready() -> None:
        if not (layout.root / "ready").exists():
            raise PartNotReady("no file yet")

    return Part("toy", (sys.executable, "-c", program, str(layout.data("toy"))), {}, ready)


def started(layout: Layout, program: str) -> tuple[Record, psutil.Process]:
    made = part(layout, program)
    record = start(made, layout)
    wait_until_ready(made, record, seconds=patience(120))
    process = record.process()
    assert process is not None
    return record, process


def test_a_process_that_obeys_is_asked_only(layout: Layout) -> None:
    record, process = started(layout, POLITE)
    assert stop(process, first=signal.SIGTERM) is True
    assert record.process() is None


def test_a_process_that_ignores_the_signal_is_killed_in_bounded_time(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "STOP_SECONDS", 0.5)
    record, process = started(layout, STUBBORN)
    began = time.monotonic()
    assert stop(process, first=signal.SIGTERM) is False
    assert time.monotonic() - began < patience(5)
    assert record.process() is None


def test_children_that_their_parent_leaves_behind_are_stopped_too(layout: Layout) -> None:
    _, process = started(layout, ABANDONING)
    child = psutil.Process(int((layout.root / "child").read_text()))
    stop(process, first=signal.SIGTERM)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_a_dead_process_that_nobody_reaps_counts_as_dead(layout: Layout) -> None:
    record, _ = started(layout, POLITE)
    os.kill(record.pid, signal.SIGKILL)
    process = psutil.Process(record.pid)
    wait_for(lambda: process.status() == psutil.STATUS_ZOMBIE, 60, "it is dead", every=0.01)
    assert record.process() is None


def test_waiting_ends_as_soon_as_the_process_does(layout: Layout) -> None:
    failing = part(layout, "print('the reason'); raise SystemExit(3)")
    began = time.monotonic()
    with pytest.raises(PartNotReady, match="its process ended"):
        wait_until_ready(failing, start(failing, layout), seconds=300)
    assert time.monotonic() - began < 300
    assert log_tail(layout.log("toy")) == "the reason"


def test_waiting_is_bounded(layout: Layout) -> None:
    silent = part(layout, "import time; time.sleep(60)")
    with pytest.raises(PartNotReady, match=r"no answer within 0 s \(no file yet\)"):
        wait_until_ready(silent, start(silent, layout), seconds=0.3)


def test_the_end_of_a_log_is_of_the_last_start_only(layout: Layout) -> None:
    for text in ("old", "new"):
        program = part(layout, f"print('{text}')")
        with pytest.raises(PartNotReady):
            wait_until_ready(program, start(program, layout), seconds=120)
    assert log_tail(layout.log("toy")) == "new"


def test_a_child_inherits_nothing_from_the_developer(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_PROFILE", "HTTPS_PROXY", "SNOWFLAKE_PASSWORD", "PYTHONPATH"):
        monkeypatch.setenv(name, "theirs")
    _, process = started(layout, POLITE)
    assert "theirs" not in process.environ().values()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}', '{"pid": "x", "command": [], "ports": {}}'])
def test_a_record_that_cannot_be_read_is_no_record(tmp_path: Path, text: str) -> None:
    (tmp_path / "toy.json").write_text(text)
    assert Record.load(tmp_path / "toy.json") is None


def test_a_process_id_of_another_program_is_not_the_parts(layout: Layout) -> None:
    record, process = started(layout, POLITE)
    stop(process, first=signal.SIGTERM)
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    reused = Record(other.pid, record.command, {}, record.started_at)
    assert reused.process() is None
    other.kill()
    other.wait()
