"""An attempt that is killed after any of its puts leaves nothing that a retry doesn't put right."""

from __future__ import annotations

import signal
import subprocess
import sys
from itertools import chain
from pathlib import Path

import obstore
from obstore.store import LocalStore

from data_platform.lake.extracts import Lake
from data_platform_tests.lake.rows import KEY, SCHEMA, batch, rejects

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
for folder in sys.argv[1:]:
    allowed, when = folder.rpartition("/")[2].split()
    allowed, child = int(allowed), os.fork()
    if child == 0:
        Lake(LocalStore(folder), part_bytes=1).write_extract(
            KEY, SCHEMA, [batch(n) for n in range(3)], rejects=[rejects(7)], contract_hash="h"
        )
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def test_killed_after_any_put_a_retry_gives_the_extract_once(tmp_path: Path) -> None:
    folders = [tmp_path / kill for kill in (*(f"{puts} before" for puts in range(PUTS)), f"{PUTS} after")]
    for folder in folders:
        folder.mkdir()
    attempts = subprocess.run([sys.executable, "-c", TRY, *map(str, folders)], stdout=subprocess.PIPE, check=True)
    assert list(map(int, attempts.stdout.split())) == [-signal.SIGKILL] * len(folders)
    for folder in folders:
        lake = Lake(LocalStore(folder), part_bytes=1)
        assert (lake.read_manifest(KEY) is not None) == (folder == folders[-1]), "the manifest is put last"
        manifest = lake.write_extract(KEY, SCHEMA, [batch(n) for n in NUMBERS], rejects=[rejects(7)], contract_hash="h")
        assert lake.read_rows(manifest)["meter_id"].to_pylist() == [f"meter {n}" for n in NUMBERS]
        assert manifest.rejects == 1
        kept = {KEY.manifest_path, *(file.path for file in manifest.files)}
        assert manifest.rejects_file is not None
        found = {str(item["path"]) for item in chain.from_iterable(obstore.list(lake.store))}
        assert found == kept | {manifest.rejects_file.path}
