"""Where settled files and receipts are kept, and that settling is finished however often it is broken off."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import pyarrow as pa
import pytest
from obstore.store import MemoryStore

from data_platform.feeds.files import FileFeedSpec
from data_platform.lake.extracts import Lake
from data_platform.lake.manifest import ExtractKey
from data_platform.lake.writer import REJECTS_SCHEMA
from data_platform.landing.bucket import LandingBucket, Pending
from data_platform.landing.delivery import Delivery
from data_platform.landing.outcomes import DeliveryRow
from data_platform.landing.settle import report_unmatched, write_receipts
from data_platform.landing.source import DeliverySource

NOW = datetime(2026, 3, 7, 12, tzinfo=UTC)


class Written:
    """Stands for a bucket that takes what S3 takes."""

    def __init__(self) -> None:
        self.keys: list[str] = []

    def exists(self, key: str) -> bool:
        return key in self.keys

    def put(self, key: str, body: bytes) -> None:
        assert len(key.encode()) <= 1024, "S3 refuses it with KeyTooLongError"
        self.keys.append(key)


def test_a_file_whose_name_is_as_long_as_can_be_has_a_receipt_of_its_own() -> None:
    written = Written()
    names = [f"{'é' * 500}{number}.csv" for number in (1, 2)]
    for name in names:
        pending = Pending(f"inbound/p/{name}", '"0123456789"', 1, NOW)
        assert len(pending.key.encode()) <= 1024
        assert report_unmatched(cast(LandingBucket, written), pending, "no feed takes it")
        assert not report_unmatched(cast(LandingBucket, written), pending, "no feed takes it")
    assert len(set(written.keys)) == 2
    assert all(key.endswith(".csv.01234567.unmatched.json") for key in written.keys)
    assert all(len(key.rsplit("/", 1)[1].encode()) <= 255 for key in written.keys), "a partner can't store it"


def test_a_partner_is_told_what_it_can_do_and_the_operator_the_rest_too() -> None:
    bucket, lake = Versions(), MemoryStore()
    reason = "p/f: 1.csv: it has a fault. Send it again. Operator: if the file is right, set an option"
    row = replace(_row(1), status="quarantined", reason=reason)
    write_receipts(row, cast(LandingBucket, bucket), Lake(lake), "America/New_York")
    (told,) = map(json.loads, bucket.objects.values())
    kept = json.loads(bytes(lake.get(f"receipts/p/{NOW:%Y-%m}/{1:032x}.json").bytes()))
    assert told == {**kept, "reason": "p/f: 1.csv: it has a fault. Send it again."}
    assert kept["reason"] == reason


def test_a_receipt_names_the_file_of_its_rejects_and_gives_times_in_the_partners_zone() -> None:
    bucket, lake = Versions(), Lake(MemoryStore())
    rows = pa.schema([pa.field("id", pa.string())])
    rejects = {"record_number": [3, 9], "column_name": ["litres", None], "reason": ['"x" is no number', "2 fields"]}
    bad = pa.RecordBatch.from_pydict({**rejects, "raw_text": ["m,x", "m"]}, schema=REJECTS_SCHEMA)
    manifest = lake.write_extract(
        ExtractKey("p", "f", "x"), rows, [], rejects=[bad], contract_hash="h", origin={}, reject_columns=()
    )
    row = replace(_row(1), rows_rejected=2)

    def told() -> dict[str, Any]:
        return dict(json.loads(bucket.objects[f"receipts/p/{NOW:%Y-%m}/1.csv.00000000.json"]))

    write_receipts(row, cast(LandingBucket, bucket), lake, "America/New_York", manifest)
    assert told()["rejects_file"] == f"/receipts/{NOW:%Y-%m}/1.csv.00000000.rejects.csv"
    assert (told()["landed_at"], told()["landed_at_local"]) == (NOW.isoformat(), "2026-03-07T07:00:00-05:00")
    assert told()["settled_at_local"] == "2026-03-07T07:00:00-05:00"
    file = bucket.objects[f"receipts/p/{NOW:%Y-%m}/1.csv.00000000.rejects.csv"]
    assert file.decode() == 'record,column,reason\n3,litres,"""x"" is no number"\n9,,2 fields\n'

    write_receipts(replace(row, status="superseded"), cast(LandingBucket, bucket), lake, "America/New_York")
    assert told()["rejects_file"], "a corrected receipt names it too"
    write_receipts(_row(2), cast(LandingBucket, bucket), lake, "UTC")
    assert json.loads(bucket.objects[f"receipts/p/{NOW:%Y-%m}/2.csv.00000000.json"])["rejects_file"] is None


class Versions:
    """Stands for a bucket with versions, which breaks down at its nth change."""

    def __init__(self, *keys: str) -> None:
        self.versions = {(key, "v1"): key.encode() for key in keys}
        self.objects: dict[str, bytes] = {}
        self.left: int | None = None
        self._lock = threading.Lock()

    def _change(self) -> None:
        with self._lock:
            if self.left is not None:
                self.left -= 1
                if self.left < 0:
                    raise ConnectionError("broken off")

    def put(self, key: str, body: bytes) -> None:
        self._change()
        self.objects[key] = body

    def exists(self, key: str) -> bool:
        return key in self.objects

    def copy(self, delivery: Delivery, to_key: str) -> None:
        self._change()
        if (body := self.versions.get((delivery.key, delivery.version_id))) is not None:
            self.objects[to_key] = body

    def delete(self, *deliveries: Delivery) -> None:
        self._change()
        for one in deliveries:
            self.versions.pop((one.key, one.version_id), None)


def _row(at: int) -> DeliveryRow:
    return DeliveryRow(
        delivery_id=f"{at:032x}", partner="p", feed="f", file_name=f"{at}.csv", object_key=f"inbound/p/{at}.csv",
        version_id="v1", etag='"e"', size_bytes=1, content_sha256=None, landed_at=NOW, partition=None, status="loaded",
        reason=None, rows_read=1, rows_loaded=1, rows_rejected=0, extract_id="x", superseded_by=None, run_id=None,
        settled_at=NOW,
    )  # fmt: skip


@pytest.mark.parametrize("at", range(8))
def test_settling_that_is_broken_off_anywhere_loses_nothing_and_is_finished_by_the_next(at: int) -> None:
    rows = [_row(number) for number in range(3)]
    bucket = Versions("inbound/p/other.csv", *(row.object_key for row in rows))
    rules = FileFeedSpec.of({"source": "p", "table": "f", "pattern": ".*", "contract": {"columns": [
        {"name": "id", "type": "string"}]}})  # fmt: skip
    source = DeliverySource(
        rules, [], bucket=cast(LandingBucket, bucket), lake=Lake(MemoryStore()), database="D", run_id=None
    )
    source.policy([], reload=False).outcomes = {row.delivery_id: row for row in rows}
    bucket.left = at
    if at < 7:  # three receipts, three copies, one request that deletes
        with pytest.raises(ConnectionError):
            source.settle()
        for row in rows:
            archived = f"archive/p/f/{row.delivery_id}/{row.file_name}" in bucket.objects
            assert (row.object_key, "v1") in bucket.versions or archived, "the file is nowhere"
        bucket.left = None
    source.settle()
    assert list(bucket.versions) == [("inbound/p/other.csv", "v1")]
    assert sorted(bucket.objects) == sorted(
        name
        for row in rows
        for name in (
            f"archive/p/f/{row.delivery_id}/{row.file_name}",
            f"receipts/p/{NOW:%Y-%m}/{row.file_name}.{row.delivery_id[:8]}.json",
        )
    )
