"""A file that unpacks to more than a reader can hold, or has nothing but rejects, is quarantined; others are read."""

from __future__ import annotations

import gzip
import hashlib
import io
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from obstore.store import LocalStore

from data_platform.extract import extract as extract_module
from data_platform.extract.extract import Extraction
from data_platform.extract.limits import MIB, Limits
from data_platform.extract.source import File, Slice
from data_platform.extract.workers import Workers
from data_platform.feeds.files import FileFeedSpec
from data_platform.lake.extracts import Lake
from data_platform.lake.manifest import Manifest
from data_platform.landing import reading, text
from data_platform.landing.bucket import LandingBucket
from data_platform.landing.delivery import Delivery
from data_platform.landing.source import DeliverySource
from data_platform.landing.versions import Work

NOON = datetime(2026, 3, 8, 12, tzinfo=UTC)
LIMITS = Limits(400 * MIB, 60)


def parquet_of_nulls(rows: int) -> bytes:
    """A run of nulls takes as many bytes as one."""
    file = io.BytesIO()
    one_page: Any = {"max_rows_per_page": rows, "data_page_size": 2**30, "write_batch_size": rows}
    with pq.ParquetWriter(file, pa.schema([pa.field("id", pa.null())]), **one_page) as writer:
        writer.write_table(pa.table({"id": pa.nulls(rows)}), row_group_size=rows)
    return file.getvalue()


def parquet_of_one_text(rows: int, text_bytes: int, *, short_first: int = 0) -> bytes:
    """A run of rows that have the same text, behind some with a short one."""
    which = pa.array([0] * short_first + [1] * rows, pa.int32())
    column = pa.DictionaryArray.from_arrays(which, pa.array(["", "x" * text_bytes]))
    file = io.BytesIO()
    pq.write_table(pa.table({"id": column}), file, compression="zstd")
    return file.getvalue()


def parquet_of_lists(rows: int, length: int) -> bytes:
    """Lists of zeros, which take no bytes either, and long as JSON."""
    zeros: Any = pa.array([0] * length * rows)
    file = io.BytesIO()
    pq.write_table(pa.table({"id": pa.ListArray.from_arrays(range(0, len(zeros) + 1, length), zeros)}), file)
    return file.getvalue()


def gzipped(*pieces: tuple[bytes, int]) -> bytes:
    """Each piece so many times over."""
    return gzip.compress(b"".join(piece * times for piece, times in pieces))


@dataclass(frozen=True)
class Inbox:
    """Stands for the landing bucket. It can be pickled, as that can."""

    folder: Path

    def open(self, delivery: Delivery) -> BinaryIO:
        return (self.folder / delivery.file_name).open("rb")


@dataclass
class Lane:
    """Reads files as a run does."""

    folder: Path
    workers: Workers

    def read(self, name: str, content: bytes, *, here: bool = False, **declared: Any) -> Manifest:
        """`here`: in this process."""
        (self.folder / name).write_bytes(content)
        kind = "parquet" if name.endswith("parquet") else "json_lines" if ".jsonl" in name else "csv"
        given = {
            "format": {"type": kind},
            "compression": "gzip" if name.endswith(".gz") else "none",
            "contract": {"columns": [{"name": "id", "type": "json" if name.startswith("lists") else "string"}]},
        }
        feed = FileFeedSpec.of({"source": "p", "table": "f", "pattern": ".*", **given, **declared})
        lake = Lake(LocalStore(self.folder))
        bucket = cast(LandingBucket, Inbox(self.folder))
        source = DeliverySource(feed, [], bucket=bucket, lake=lake, database="D", run_id=None)
        delivery = Delivery(f"inbound/p/{name}", "1", '"e"', len(content), NOON)
        file = File(name, len(content), Work(delivery, None))
        slice_ = Slice(name, effective_at=NOON, file=file)
        if here:
            return extract_module.extract(lake, source, slice_, run_id=None)
        return Extraction(lake, source, run_id=None, workers=self.workers).extract(slice_)


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    pool = Workers()
    yield pool
    pool.close()


@pytest.fixture
def lane(tmp_path: Path, workers: Workers, monkeypatch: pytest.MonkeyPatch) -> Lane:
    monkeypatch.setattr(extract_module, "limits_of", lambda compute, size: LIMITS)
    return Lane(tmp_path, workers)


@pytest.mark.parametrize(
    ("name", "bomb", "reason"),
    [
        ("nulls.parquet", lambda: parquet_of_nulls(2**28 + 1), "875 bytes hold more than 1,000,000 rows"),
        ("lists.parquet", lambda: parquet_of_lists(2_000, 1_000), "bytes hold more than 1,000,000 elements of lists"),
        ("rows.csv.gz", lambda: gzipped((b"id\n", 1), (b"0\n", 1_200_000)), "hold more than 1,000,000 rows"),
        ("text.parquet", lambda: parquet_of_one_text(600, MIB, short_first=16), "takes more than 400 MiB of memory"),
        (
            "record.csv.gz",
            lambda: gzipped((b"id\n7\n", 1), (b"0", 40 * MIB)),
            "record 2 is longer than 16 MiB; it has no line end",
        ),
        (
            "field.csv.gz",
            lambda: gzipped((b'id\n"', 1), (b"x", 40 * MIB)),
            "record 1 is longer than 16 MiB; most likely a field begins with a quote",
        ),
        (
            "nul.csv.gz",
            lambda: gzipped((b"id\n7\n", 1), (b"\0", 40 * MIB)),
            "record 2 is longer than 16 MiB; it is nothing but NUL",
        ),
        (
            "line.jsonl.gz",
            lambda: gzipped((b'{"id":1}\n{"id":"', 1), (b"x", 40 * MIB)),
            "record 2 is longer than 16 MiB",
        ),
        ("objects.jsonl.gz", lambda: gzipped((b'{"id":[', 1), (b"{},", 4 * MIB)), "takes more than 400 MiB of memory"),
    ],
)
def test_a_bomb_is_quarantined_within_its_limit_while_other_files_are_read(
    lane: Lane, name: str, bomb: Callable[[], bytes], reason: str
) -> None:
    content = bomb()
    with ThreadPoolExecutor(2) as pool:
        bad = pool.submit(lane.read, name, content)
        good = pool.submit(lane.read, "good.csv", b"id\n1\n2\n")
    assert reason in str(bad.result().refused)
    assert bad.result().position_to["sha256"] == hashlib.sha256(content).hexdigest()
    assert (good.result().rows, good.result().refused) == (2, None)


@pytest.mark.parametrize("limit", [{"rows": 150, "share": None}, {"share": 0.05}])
def test_reading_stops_once_nothing_that_follows_could_keep_the_file_within_its_limit(
    lane: Lane, limit: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text, "LINES_AT_ONCE", 100)
    content = b"id\n" + b"a,too many\n" * 5_000
    found = lane.read("rejects.csv", content, here=True, reject_limit=limit)
    read = found.position_to["rows_read"]
    assert 150 < read < 3_000
    assert f"{read} of {read} rows break the contract" in str(found.refused)
    assert "no more rows could keep it within the limit" in str(found.refused)
    assert found.position_to["sha256"] == hashlib.sha256(content).hexdigest()


def test_a_file_that_ends_within_its_limit_is_read_whatever_its_beginning_is_like(
    lane: Lane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text, "LINES_AT_ONCE", 100)
    found = lane.read("late.csv", b"id\n" + b"a,b\n" * 300 + b"c\n" * 7_000, here=True)
    assert (found.rows, found.rejects, found.refused) == (7_000, 300, None)


def test_reading_stops_where_the_limit_is_passed_and_no_more_rejects_are_kept(
    lane: Lane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text, "LINES_AT_ONCE", 100)
    monkeypatch.setattr(reading, "_REJECTS_KEPT", 300)
    content = gzipped((b"id\n", 1), (b"a,too many\n", 20_000))  # it could unpack to so much more
    found = lane.read("rejects.csv.gz", content, here=True)
    read = found.position_to["rows_read"]
    assert 300 <= read == found.position_to["rows_rejected"] == found.rejects < 400
    assert f"Reading stopped at record {read}, as far too many rows break the contract" in str(found.refused)
    assert found.position_to["sha256"] == hashlib.sha256(content).hexdigest()


def test_rejects_within_the_limit_are_all_kept_however_many_they_are(
    lane: Lane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text, "LINES_AT_ONCE", 100)
    monkeypatch.setattr(reading, "_REJECTS_KEPT", 300)
    content = gzipped((b"id\n", 1), (b"a,too many\n" + b"b\n" * 3, 2_000))
    found = lane.read("many.csv.gz", content, here=True, reject_limit={"share": 0.25})
    assert (found.rows, found.rejects, found.refused) == (6_000, 2_000, None)


@pytest.mark.parametrize(
    ("rows", "declared", "refused"),
    [(1_000_000, {}, False), (1_000_001, {}, True), (1_000_001, {"max_rows": 2_000_000}, False)],
)
def test_a_small_file_has_at_most_a_million_rows_unless_its_feed_says_otherwise(
    lane: Lane, rows: int, declared: dict[str, Any], refused: bool
) -> None:
    found = lane.read("constant.parquet", parquet_of_nulls(rows), here=True, **declared)
    assert (found.rows, found.refused is not None) == (0 if refused else rows, refused)


def test_text_is_taken_in_pieces_that_have_neither_many_bytes_nor_many_lines() -> None:
    content = b"\n" * (2 * text.LINES_AT_ONCE + 5) + b"x" * 1000 + b"\r\n" * 7
    found = list(text.pieces(io.BytesIO(content), 300_000))
    assert b"".join(found) == content
    assert max(piece.count(b"\n") for piece in found) <= text.LINES_AT_ONCE
    assert max(map(len, found)) <= 300_000


def test_rows_with_long_texts_are_read_few_at_a_time(lane: Lane) -> None:
    found = lane.read("long.parquet", parquet_of_one_text(1_200, 400_000))
    assert (found.rows, found.refused) == (1_200, None)
