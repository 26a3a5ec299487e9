"""A try that is killed after any of its puts leaves nothing that a retry doesn't put right."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

import obstore
import pytest
from obstore.store import LocalStore

from data_platform.lake.extracts import Lake
from data_platform_tests.lake.rows import KEY

NUMBERS = range(3)
PUTS = len(NUMBERS) + 2  # a part a row, the rejects, the manifest

TRY = """
import os, signal, sys, threading
import obstore
from obstore.store import LocalStore
from data_platform.lake import parts
from data_platform.lake.extracts import Lake
from data_platform_tests.lake.rows import KEY, SCHEMA, batch, rejects

parts._ROW_GROUP_ROWS = 1
real_put, counted, lock = obstore.put, 0, threading.Lock()

def put(*args, **options):
    global counted
    with lock:
        counted += 1
        if when == "before" and counted > allowed:
            os.kill(os.getpid(), signal.SIGKILL)
        answer = real_put(*args, **options)
        if when == "after" and counted == allowed:
            os.kill(os.getpid(), signal.SIGKILL)
    return answer

obstore.put = put
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        allowed, when, folder = line.rstrip().split(" ", 2)
        allowed = int(allowed)
        Lake(LocalStore(folder), part_bytes=1).write_extract(
            KEY, SCHEMA, [batch(n) for n in range(3)], rejects=[rejects(7)], contract_hash="h"
        )
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
Attempt = Callable[..., int]


@pytest.fixture(scope="module")
def attempt() -> Iterator[Attempt]:
    """Tries in a process that is killed `before` or `after` so many puts. Returns its exit code."""
    tries = subprocess.Popen([sys.executable, "-c", TRY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert tries.stdin and tries.stdout

    def attempt(folder: Path, puts: int, when: str = "before") -> int:
        print(puts, when, folder, file=tries.stdin, flush=True)
        return int(tries.stdout.readline())  # type: ignore[union-attr]

    yield attempt
    tries.communicate()


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_after_any_put_a_retry_gives_the_extract_once(attempt: Attempt, tmp_path: Path, when: str) -> None:
    for puts in range(0 if when == "before" else 1, PUTS + (0 if when == "before" else 1)):
        folder = tmp_path / str(puts)
        folder.mkdir()
        lake = Lake(LocalStore(folder))
        assert attempt(folder, puts, when) == -signal.SIGKILL
        manifest = lake.read_manifest(KEY)
        assert (manifest is not None) == (when == "after" and puts == PUTS)
        assert attempt(folder, PUTS + 1) == 0
        manifest = lake.read_manifest(KEY)
        assert manifest is not None
        assert lake.read_rows(manifest)["meter_id"].to_pylist() == [f"meter {n}" for n in NUMBERS]
        assert manifest.rejects == 1
        kept = {KEY.manifest_path, *(file.path for file in manifest.files)}
        assert manifest.rejects_file is not None
        found = {str(item["path"]) for item in chain.from_iterable(obstore.list(lake.store))}
        assert found == kept | {manifest.rejects_file.path}
