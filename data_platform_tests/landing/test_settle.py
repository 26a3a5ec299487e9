"""Where settled files and receipts are kept, and that settling is finished however often it is broken off."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from datetime import UTC, datetime
from typing import cast

import pytest
from obstore.store import MemoryStore

from data_platform.feeds.files import FileFeedSpec
from data_platform.lake.extracts import Lake
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
    write_receipts(replace(_row(1), status="quarantined", reason=reason), cast(LandingBucket, bucket), lake)
    (told,) = map(json.loads, bucket.objects.values())
    kept = json.loads(bytes(lake.get(f"receipts/p/{NOW:%Y-%m}/{1:032x}.json").bytes()))
    assert told == {**kept, "reason": "p/f: 1.csv: it has a fault. Send it again."}
    assert kept["reason"] == reason


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
