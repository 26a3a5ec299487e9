"""Files are read in worker processes: whatever one does to its reader, the run goes on and knows why."""

from __future__ import annotations

import ctypes
import logging
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from typing import Any, ClassVar

import psutil
import pyarrow as pa
import pytest
from obstore.exceptions import BaseError
from obstore.store import LocalStore, S3Store

from data_platform.extract import extract as extract_module
from data_platform.extract import limits as limits_module
from data_platform.extract.extract import Extraction, key_of
from data_platform.extract.limits import MIB, Limits, limits_of
from data_platform.extract.source import Chunk, File, Position, Refused, Slice, SliceGone, SliceLeft, Source
from data_platform.extract.workers import InWorker, Workers
from data_platform.feeds.compute import Compute
from data_platform.feeds.spec import FeedSpec
from data_platform.lake.extracts import Lake
from data_platform.lake.manifest import Manifest
from data_platform.lake.writer import ExtractWriter

NOON = datetime(2026, 3, 8, 12, tzinfo=UTC)
FEED = FeedSpec.of({"source": "city", "table": "files", "contract": {"columns": [{"name": "pid", "type": "int64"}]}})
ROOMY = Limits(1024 * MIB, 60)

Deed = Callable[[], Any]


class Deeds(Source):
    """Its files hold what their reader does: each is one row, the id of the process that read it."""

    redelivers: ClassVar[bool] = True

    def plan(self, *, since: Position | None, partition: str | None, unfinished: Sequence[Manifest]) -> list[Slice]:
        return []

    @contextmanager
    def open(self, slice_: Slice) -> Iterator[Read]:
        assert slice_.file is not None
        yield Read(self.feed, slice_.file.version)

    def unread(self, slice_: Slice, reason: str) -> Read:
        def refuse() -> None:
            raise Refused(reason)

        return Read(self.feed, refuse)


class Read:
    def __init__(self, feed: FeedSpec, deed: Deed) -> None:
        self.contract, self._deed = feed.contract, deed

    def chunks(self) -> Iterator[Chunk]:
        self._deed()
        yield Chunk(pa.RecordBatch.from_pylist([{"pid": os.getpid()}], schema=self.contract.arrow_schema))

    def position(self) -> Position:
        return {"pid": os.getpid()}


class Once:
    """Does it in the first process that comes, and nothing afterwards."""

    def __init__(self, mark: Path, deed: Deed) -> None:
        self.mark, self.deed = mark, deed

    def __call__(self) -> None:
        if not self.mark.exists():
            self.mark.touch()
            self.deed()


def nothing() -> None:
    pass


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def crash() -> None:
    ctypes.string_at(0)


def hang() -> None:
    ctypes.PyDLL(None).pause()  # in C, and no other thread of Python's goes on


def fill_memory() -> None:
    held = []
    while True:
        held.append(b"x" * (16 * MIB))


def log() -> None:
    logging.getLogger("readers").warning("a line of %s", "log")


def find_it_gone() -> None:
    raise SliceGone("inbound/city/f.csv is gone")


def lose_storage() -> None:
    nowhere: Any = {"endpoint": "http://127.0.0.1:9", "region": "x", "access_key_id": "k", "secret_access_key": "s"}
    store = S3Store("b", config=nowhere, client_options={"allow_http": True}, retry_config={"max_retries": 0})
    store.get("x")


def die_when_committed() -> None:
    ExtractWriter._tidy = lambda *_: die()  # type: ignore[method-assign]


class Meet:
    """Waits for another process, at two pipes with names."""

    def __init__(self, mine: Path, other: Path) -> None:
        self.mine, self.other = mine, other

    def __call__(self) -> None:
        for path in sorted([self.mine, self.other]):
            with path.open("w" if path == self.mine else "r"):
                pass


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    pool = Workers()
    yield pool
    pool.close()


class Lane:
    """An extraction of a test's own lake."""

    def __init__(self, folder: Path, workers: Workers) -> None:
        self.told: list[str] = []
        self.lake = Lake(LocalStore(folder))
        self.source = Deeds(FEED)
        self._extraction = Extraction(self.lake, self.source, run_id="run", progress=self.told.append, workers=workers)

    def read(self, deed: Deed, name: str = "a") -> Manifest:
        return self._extraction.extract(slice_of(name, deed))


def slice_of(name: str, deed: Deed) -> Slice:
    return Slice(name, effective_at=NOON, file=File(f"{name}.csv", 10, deed))


@pytest.fixture
def lane(tmp_path: Path, workers: Workers, monkeypatch: pytest.MonkeyPatch) -> Lane:
    limit(monkeypatch, ROOMY)
    return Lane(tmp_path, workers)


def limit(monkeypatch: pytest.MonkeyPatch, limits: Limits) -> None:
    monkeypatch.setattr(extract_module, "limits_of", lambda compute, size: limits)


def pid_of(manifest: Manifest) -> int:
    return int(manifest.position_to["pid"])


def test_files_are_read_by_one_process_that_is_not_this_one(lane: Lane) -> None:
    first, second = lane.read(nothing, "a"), lane.read(nothing, "b")
    assert pid_of(first) == pid_of(second) != os.getpid()
    assert (first.rows, first.refused, lane.lake.read_manifest(first.key)) == (1, None, first)


def test_two_files_are_read_side_by_side(lane: Lane, tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    os.mkfifo(one)
    os.mkfifo(other)
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lane.read, [Meet(one, other), Meet(other, one)], "ab"))
    assert len({pid_of(each) for each in found}) == 2


def test_a_worker_that_is_killed_while_idle_is_replaced(lane: Lane) -> None:
    pid = pid_of(lane.read(nothing, "a"))
    ended = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    select.select([ended], [], [])
    os.close(ended)
    assert pid_of(lane.read(nothing, "b")) != pid
    assert lane.told == []


def test_a_file_whose_reader_is_killed_is_read_once_more(lane: Lane, tmp_path: Path) -> None:
    assert lane.read(Once(tmp_path / "killed", die)).refused is None
    (told,) = lane.told
    assert told.startswith("city/files: a.csv: the process that read it was killed, perhaps as the machine ran out of")


@pytest.mark.parametrize(
    ("deed", "reason"),
    [
        (die, "the process that read it was killed, perhaps as the machine ran out of memory (it had "),
        (crash, "the process that read it crashed with SIGSEGV (it had "),
    ],
)
def test_a_file_whose_reader_dies_twice_is_refused_and_others_are_read(lane: Lane, deed: Deed, reason: str) -> None:
    found = lane.read(deed, "a")
    assert found.refused is not None
    assert found.refused.startswith(f"city/files: a.csv: {reason}")
    assert "Send it again. Operator: replay it first" in found.refused
    assert (found.rows, found.files, lane.lake.read_manifest(found.key)) == (0, (), found)
    assert lane.read(nothing, "b").rows == 1


def test_a_file_that_hangs_its_reader_is_refused(lane: Lane, monkeypatch: pytest.MonkeyPatch) -> None:
    limit(monkeypatch, replace(ROOMY, seconds=0.2))
    found = lane.read(hang)
    assert "it was not read within 0 s, the time for a file of its size" in str(found.refused)


def test_a_file_whose_reading_takes_longer_than_others_wait_is_left_to_another_run_and_not_refused(lane: Lane) -> None:
    lane.source.gives_way_at = time.monotonic() + 0.2
    with pytest.raises(SliceLeft, match=r"a\.csv is left to another run"):
        lane.read(hang, "a")
    assert lane.lake.read_manifest(key_of(FEED, slice_of("a", hang))) is None
    with pytest.raises(SliceLeft, match=r"b\.csv is left to another run"):
        lane.read(nothing, "b")
    lane.source.gives_way_at = inf
    assert lane.read(nothing, "b").rows == 1


def test_a_file_that_fills_the_memory_is_refused_with_what_to_declare(
    lane: Lane, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit(monkeypatch, replace(ROOMY, memory=300 * MIB))
    found = lane.read(fill_memory)
    assert "reading it takes more than 300 MiB of memory" in str(found.refused)
    assert "set the feed's compute.memory to 1800 or more and replay it" in str(found.refused)


def test_a_worker_that_dies_when_it_has_committed_has_done_its_work(lane: Lane) -> None:
    found = lane.read(die_when_committed)
    assert (found.rows, found.refused) == (1, None)
    assert len(lane.told) == 1


@pytest.mark.parametrize(("deed", "kind"), [(find_it_gone, SliceGone), (lose_storage, BaseError)])
def test_other_errors_come_back_as_they_are(lane: Lane, deed: Deed, kind: type[Exception]) -> None:
    with pytest.raises(kind) as caught:
        lane.read(deed)
    assert isinstance(caught.value.__cause__, InWorker)
    assert deed.__name__ in str(caught.value.__cause__)
    assert lane.lake.read_manifest(key_of(FEED, slice_of("a", deed))) is None
    assert lane.told == []


def tell_and_hang() -> None:
    print(os.getpid(), flush=True)
    hang()


def test_what_a_reader_logs_is_in_the_log_of_the_run(lane: Lane, caplog: pytest.LogCaptureFixture) -> None:
    lane.read(log)
    assert ("readers", logging.WARNING, "a line of log") in caplog.record_tuples


def test_workers_end_with_a_run_that_is_killed(tmp_path: Path) -> None:
    run = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"from {__name__} import *; Lane(Path({str(tmp_path)!r}), Workers()).read(tell_and_hang)",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert run.stdout is not None
    worker = psutil.Process(int(run.stdout.readline()))
    template = worker.parent()
    assert template is not None
    run.kill()
    run.wait()
    assert psutil.wait_procs([worker, template], timeout=30)[1] == []


@pytest.mark.parametrize("gibibytes", [1, 2, 4, 200])
def test_a_file_may_take_a_third_of_the_memory_and_longer_if_it_is_large(
    gibibytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits_module, "run_memory", lambda: gibibytes * 1024 * MIB)
    third = gibibytes * 1024 * MIB // 3
    small, large = limits_of(None, 10**6), limits_of(Compute(memory=120 * 1024), 10**9)
    assert small.memory == max(512 * MIB, min(third, 2048 * MIB))
    assert large.memory == max(512 * MIB, min(third, 40 * 1024 * MIB))
    assert 300 < small.seconds < large.seconds
