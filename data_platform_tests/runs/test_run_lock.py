"""The locks by which a run's process is known to live."""

from __future__ import annotations

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

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


def test_a_lock_is_never_seen_free_while_it_is_being_made_or_let_go_of(tmp_path: Path) -> None:
    def come_and_go() -> None:
        for _ in range(2000):
            with held(tmp_path, "run"):
                pass

    with ThreadPoolExecutor(1) as thread:
        holder = thread.submit(come_and_go)
        while not holder.done():
            assert free(tmp_path) == []
    holder.result()
