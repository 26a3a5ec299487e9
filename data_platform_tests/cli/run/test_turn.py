"""One `data-platform run` at a time: the lock, between processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

COMMAND = """
import sys
from pathlib import Path
from data_platform.cli.run.turn import one_at_a_time
from data_platform.cli.signals import end_as_by_ctrl_c
end_as_by_ctrl_c()
try:
    with one_at_a_time(Path(sys.argv[1]), lambda line: print(line, flush=True)):
        print("works", flush=True)
        sys.stdin.readline()
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


class Command:
    """A process that wants the lock, and keeps it until `end`."""

    def __init__(self, state_dir: Path) -> None:
        command = [sys.executable, "-c", COMMAND, str(state_dir)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def says(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def end(self) -> None:
        self.process.communicate("\n", timeout=60)


def test_the_second_waits_for_the_first_and_names_it(tmp_path: Path) -> None:
    first = Command(tmp_path)
    assert first.says() == "works"
    second = Command(tmp_path)
    waits = second.says()
    assert (
        waits.startswith("Waiting for another `data-platform run` to end") and f"process {first.process.pid}" in waits
    )
    first.end()
    assert second.says() == "works"
    second.end()
    third = Command(tmp_path)
    assert third.says() == "works"
    third.end()


def test_a_killed_one_is_not_waited_for(tmp_path: Path) -> None:
    first = Command(tmp_path)
    assert first.says() == "works"
    os.kill(first.process.pid, signal.SIGKILL)
    first.process.communicate(timeout=60)
    second = Command(tmp_path)
    assert second.says() == "works"
    second.end()


def test_ctrl_c_ends_the_wait(tmp_path: Path) -> None:
    first = Command(tmp_path)
    assert first.says() == "works"
    second = Command(tmp_path)
    assert second.says().startswith("Waiting")
    second.process.send_signal(signal.SIGINT)
    assert second.says() == "interrupted"
    second.end()
    first.end()
