"""The locks by which a run's process is known to live."""

from __future__ import annotations

import fcntl
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from data_platform.runs.run_lock import free, held

HOLDS = """
import sys, time
from pathlib import Path
from data_platform.runs.run_lock import held
with held(Path(sys.argv[1]), "run"):
    print("held", flush=True)
    time.sleep(600)
"""


def test_the_lock_of_a_process_is_free_once_it_is_killed(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDS, str(tmp_path)], stdout=subprocess.PIPE)
    try:
        assert holder.stdout and holder.stdout.readline() == b"held\n"
        assert free(tmp_path) == []
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.communicate()
    assert [lock.stem for lock in free(tmp_path)] == ["run"]


def test_nothing_is_left_of_one_that_came_to_its_end(tmp_path: Path) -> None:
    with held(tmp_path, "run"):
        assert [path.name for path in tmp_path.iterdir()] == ["run.lock"]
    assert list(tmp_path.iterdir()) == []


def test_one_that_is_let_go_of_while_it_is_looked_at_is_not_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its run ends by itself, in a moment."""
    lock = fcntl.flock
    with held(tmp_path, "run"):

        def lets_go(file: int, how: int) -> None:
            (tmp_path / "run.lock").unlink()  # as its holder does before it frees it

        monkeypatch.setattr(fcntl, "flock", lets_go)
        assert free(tmp_path) == []
        monkeypatch.setattr(fcntl, "flock", lock)


def test_it_is_never_seen_free_while_it_is_being_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock, seen = fcntl.flock, list[list[Path]]()

    def looked_at(file: int, how: int) -> None:
        if how == fcntl.LOCK_EX:  # just before it is held
            seen.append(free(tmp_path))
        lock(file, how)

    monkeypatch.setattr(fcntl, "flock", looked_at)
    with held(tmp_path, "run"):
        assert seen == [[]]
