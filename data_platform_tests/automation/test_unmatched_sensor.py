"""Files that match no feed are reported to their partners once each, a few at a time."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import dagster as dg
import pytest

from data_platform.automation import unmatched_sensor
from data_platform.automation.loaded_from import LoadedFrom
from data_platform.automation.unmatched_sensor import REPORTED_PER_TICK, Cursor, report
from data_platform.landing.bucket import LandingBucket
from data_platform.resources import LandingResource
from data_platform_tests.landing.test_inbox import NOW, Objects, feed


class Bucket(Objects):
    """Objects with a place for receipts. `asked`: which receipts were looked up."""

    def __init__(self, names: dict[str, float], page_size: int = 1000) -> None:
        super().__init__(names, page_size)
        self.receipts: dict[str, bytes] = {}
        self.asked: list[str] = []

    def exists(self, key: str) -> bool:
        self.asked.append(key)
        return key in self.receipts

    def put(self, key: str, body: bytes) -> None:
        self.receipts[key] = body


def walk(bucket: Bucket, cursor: Cursor | None = None, minutes: int = 0) -> tuple[list[str], Cursor]:
    """The keys that one tick reports, and the cursor as the next tick reads it."""
    now = NOW + timedelta(minutes=minutes)
    reported, after = report(cast(LandingBucket, bucket), [feed()], cursor or Cursor(), now)
    return [key for key, _ in reported], Cursor.read(after.write())


def test_a_file_that_no_feed_takes_is_reported_once_and_stays() -> None:
    bucket = Bucket({"inbound/p/notes.txt": 99, "inbound/p/f_20260306.csv": 99, "inbound/stray.txt": 99})
    first, cursor = walk(bucket)
    assert first == ["inbound/p/notes.txt"]
    (receipt,) = bucket.receipts.values()
    assert json.loads(receipt)["status"] == "unmatched"
    assert walk(bucket, cursor)[0] == []
    assert walk(bucket)[0] == [], "with the cursor lost, too"


def test_thousands_are_reported_a_few_a_tick() -> None:
    bucket = Bucket({f"inbound/p/{number:05}.txt": 99 for number in range(REPORTED_PER_TICK * 2 + 50)}, 100)
    cursor, told = Cursor(), []
    for _ in range(4):
        reported, cursor = walk(bucket, cursor)
        told.append(len(reported))
    assert told == [REPORTED_PER_TICK, REPORTED_PER_TICK, 50, 0]
    assert len(bucket.receipts) == len(bucket.objects)


def test_what_was_reported_hours_ago_is_not_looked_up_again_and_a_slow_upload_is_not_missed() -> None:
    bucket = Bucket({f"inbound/p/{number:05}.txt": 7200 for number in range(300)}, 100)
    cursor = Cursor()
    for minutes in range(3):
        _, cursor = walk(bucket, cursor, minutes)
    bucket.asked.clear()
    late = Bucket({"inbound/p/late.txt": 1800})  # its upload began half an hour ago, and has ended just now
    bucket.objects = sorted([*bucket.objects, *late.objects])
    assert (walk(bucket, cursor, 3)[0], len(bucket.asked)) == (["inbound/p/late.txt"], 1)


def test_a_file_that_cannot_be_reported_keeps_no_other_from_it_and_is_reported_later() -> None:
    bucket = Bucket({"inbound/p/a.txt": 7200, "inbound/p/b.txt": 7200})
    put = bucket.put

    def refuse(key: str, body: bytes) -> None:
        if "a.txt" in key:
            raise OSError("refused")
        put(key, body)

    bucket.put = refuse  # type: ignore[method-assign]
    first, cursor = walk(bucket)
    assert first == ["inbound/p/b.txt"]
    bucket.put = put  # type: ignore[method-assign]
    assert walk(bucket, cursor, 5)[0] == ["inbound/p/a.txt"]


def test_a_tick_ends_after_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unmatched_sensor, "REPORT_SECONDS", -1.0)
    bucket = Bucket({"inbound/p/a.txt": 99, "inbound/p/b.txt": 99})
    first, cursor = walk(bucket)
    assert (first, cursor.after) == (["inbound/p/a.txt"], "inbound/p/a.txt")
    assert walk(bucket, cursor)[0] == ["inbound/p/b.txt"]


def test_the_cursor_survives_being_written_and_any_rubbish() -> None:
    cursor = Cursor("inbound/" + "k" * 1024, NOW, NOW)
    assert Cursor.read(cursor.write()) == cursor
    rubbish: Any
    for rubbish in (None, "", "inbound/p/x", "{}", "[1]", "null", "[null, []]"):
        assert Cursor.read(rubbish) == Cursor()


def test_nobody_is_told_that_no_feed_takes_a_file_while_a_new_feed_is_not_loaded_yet(tmp_path: Path) -> None:
    (tmp_path / "feed").mkdir()
    (tmp_path / "feed" / "defs.yaml").write_text("type: a")
    bucket = Bucket({"inbound/p/notes.txt": 99})
    landing = cast(LandingResource, SimpleNamespace(bucket=lambda: bucket))

    def tick(loaded_from: LoadedFrom) -> str:
        definitions = dg.Definitions(metadata=loaded_from.metadata())
        context = dg.build_sensor_context(definitions=definitions, sensor_name="unmatched")
        result: Any = unmatched_sensor.unmatched(context, landing=landing)
        return str(result.skip_reason.skip_message)

    loaded = LoadedFrom.now(tmp_path)
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "defs.yaml").write_text("type: b")
    assert "are not loaded yet" in tick(loaded) and bucket.receipts == {}
    assert tick(LoadedFrom.now(tmp_path)) == "1 files reported" and len(bucket.receipts) == 1
