"""Runs as forks of a process that has loaded the definitions. In Dagster's place is a program that starts a process as
Dagster does; the code server's own tests have the real one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from data_platform.runs.preloaded import dagster_command
from data_platform_tests.end_to_end.platform import patience, wait_for

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems start runs as Dagster does")

DEFINITIONS = """
import os, signal, sys, time
LOADED_BY = os.getpid()

def defs():
    '''Nothing.'''

def run(queue, end):
    queue.put([LOADED_BY == os.getpid(), os.getpid(), os.environ.get("SET_LATE"), sys.argv])
    if end == "exit 7":
        sys.exit(7)
    if end == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if end == "long":
        time.sleep(600)
"""
DAGSTER = """
import json, multiprocessing, os, pathlib, sys
import definitions

_, end, stop = sys.argv
spawn = multiprocessing.get_context("spawn")
queue = spawn.SimpleQueue()  # what is put is sent at once, also before a kill
os.environ["SET_LATE"] = "yes"
if stop == "without template":
    for socket in pathlib.Path("sockets").glob("*.template"):
        socket.unlink()
run = spawn.Process(target=definitions.run, args=(queue, end))
run.start()
told = queue.get()
if stop == "kill":
    run.kill()
run.join(120)
print(json.dumps([*told, run.exitcode, sys.argv]))
"""


def started(folder: Path, end: str = "", stop: str = "", definitions: str = DEFINITIONS) -> list[Any]:
    """[whether the run loaded the definitions itself, its process id, its SET_LATE, its arguments, its exit code as
    multiprocessing sees it, Dagster's own arguments]."""
    package = folder / "dagster"
    package.mkdir()
    (package / "__init__.py").write_text(
        "from contextlib import nullcontext\nclass DagsterInstance:\n    get = staticmethod(nullcontext)\n"
    )
    (package / "__main__.py").write_text(DAGSTER)
    (folder / "definitions.py").write_text(definitions)
    (folder / "sockets").mkdir(mode=0o700)
    done = subprocess.run(
        [*dagster_command(Path("sockets"), "definitions"), end, stop],  # relative, as a socket's path must be short
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=patience(120),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: list[Any] = json.loads(done.stdout)
    return found


def test_a_run_finds_the_definitions_loaded_and_dagsters_present_environment(tmp_path: Path) -> None:
    loaded, _, set_late, arguments, exit_code, own = started(tmp_path)
    assert not loaded
    assert set_late == "yes"
    assert arguments == own
    assert exit_code == 0
    wait_for(lambda: list((tmp_path / "sockets").iterdir()) == [], 60, "the template ends with Dagster", every=0.02)


@pytest.mark.parametrize(("end", "exit_code"), [("exit 7", 7), ("killed", -9)])
def test_dagster_sees_how_a_run_ended(tmp_path: Path, end: str, exit_code: int) -> None:
    loaded, _, _, _, seen, _ = started(tmp_path, end)
    assert not loaded
    assert seen == exit_code


def test_a_run_that_dagster_kills_ends(tmp_path: Path) -> None:
    began = time.monotonic()
    _, pid, _, _, exit_code, _ = started(tmp_path, "long", "kill")
    assert exit_code == -9
    wait_for(lambda: not Path(f"/proc/{pid}").exists(), 60, "its process ends", every=0.02)
    assert time.monotonic() - began < 600


def test_without_the_template_a_run_starts_as_dagster_starts_it(tmp_path: Path) -> None:
    loaded, _, _, _, exit_code, _ = started(tmp_path, "exit 7", "without template")
    assert loaded
    assert exit_code == 7


def test_definitions_with_threads_are_not_forked(tmp_path: Path) -> None:
    threads = "import threading\n" + DEFINITIONS.replace(
        "'''Nothing.'''", "threading.Thread(target=time.sleep, args=(5,), daemon=True).start()"
    )
    loaded, *_ = started(tmp_path, definitions=threads)
    assert loaded
