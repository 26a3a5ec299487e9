"""A program that hangs says where."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from data_platform.environment.machine import machine_environment
from data_platform_tests.servers.commands import ended

HANGS = """
import subprocess, sys, time
print("began", flush=True)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(61)"])
def stands_still():
    child.wait()
stands_still()
"""


def test_a_program_that_hangs_shows_its_stack_its_children_and_its_log(tmp_path: Path) -> None:
    log = tmp_path / "run.log"
    log.write_text("the last line")
    with pytest.raises(AssertionError) as raised:
        ended([sys.executable, "-c", HANGS], environment=machine_environment(), seconds=3, log=log)
    said = str(raised.value)
    for part in ("within 3 s", "began", "in stands_still", "time.sleep(61)", "the last line"):
        assert part in said


def test_one_that_ends_is_given_back() -> None:
    done = ended([sys.executable, "-c", "print(1); raise SystemExit(3)"], environment={}, seconds=60)
    assert (done.returncode, done.stdout) == (3, "1\n")
