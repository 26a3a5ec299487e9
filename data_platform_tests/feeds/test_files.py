"""A feed's rules: which files are whose, of which day and hour, and what a mistake in them says."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from data_platform.feeds.files import FileFeedSpec, Readiness
from data_platform.feeds.spec import RejectLimit

CONTRACT = {"columns": [{"name": "id", "type": "string", "nullable": False}], "key": ["id"]}


def rules(**changes: Any) -> FileFeedSpec:
    base = {
        "source": "p",
        "table": "f",
        "pattern": r"r_(?P<hour>(?P<day>\d{8})T\d{2}([+-]\d{4})?)\.csv",
        "contract": CONTRACT,
        "partition": {"start": "2026-01-01"},
        "expected": {"every": "hour", "group": "hour", "format": "%Y%m%dT%H%z"},
        "time_zone": "America/New_York",
    }
    return FileFeedSpec.of({**base, **changes})


def test_a_name_must_match_as_a_whole() -> None:
    assert rules().matches("r_20260307T05-0500.csv")
    assert not rules().matches("r_20260307T05-0500.csv.gz")
    assert not rules().matches("old_r_20260307T05-0500.csv")


def test_the_day_is_read_from_the_name() -> None:
    assert rules().partition_key("r_20260307T05-0500.csv") == "2026-03-07"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        (
            "r_20260231T05.csv",
            "names no day of .*: '20260231' is not a date in the format %Y%m%d; expected for example '20260101'",
        ),
        ("r_20250101T05.csv", "before"),
    ],
)
def test_a_day_that_cannot_be_is_refused(name: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        rules().partition_key(name)


def test_the_repeated_hour_is_two_slots() -> None:
    first = rules().slot("r_20261101T01-0400.csv")
    second = rules().slot("r_20261101T01-0500.csv")
    assert first == datetime(2026, 11, 1, 5, tzinfo=UTC)
    assert second == datetime(2026, 11, 1, 6, tzinfo=UTC)


def test_a_day_slot_begins_at_local_midnight() -> None:
    daily = rules(expected={"every": "day"})
    assert daily.slot("r_20260308T00-0500.csv") == datetime(2026, 3, 8, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"pattern": "("}, "not a regular expression"),
        ({"partition": {"start": "2026-01-01", "group": "date"}}, "not a named group"),
        ({"expected": {"every": "day", "group": "slot"}}, "not a named group"),
        ({"load_mode": "merge", "contract": {**CONTRACT, "key": []}}, "merge needs contract.key"),
        ({"load_mode": "history", "contract": {**CONTRACT, "key": []}}, "history needs contract.key"),
        ({"load_mode": "history", "partition": None}, "history needs a partition: the day that a file is a snapshot"),
        ({"readiness": {"manifest": "{name}.a", "trigger": "{name}.b"}}, "not both"),
        ({"readiness": {"trigger": "all.done"}}, r"companion of every file.*write \{name\} or \{stem\}"),
        ({"readiness": {"trigger": "{name}.b", "settle_seconds": 5}}, "settle_seconds has no effect"),
        ({"format": {"type": "tsv"}}, "tsv"),
        ({"format": {"type": "csv", "quote": "''"}}, "expected one ASCII character, or none"),
        ({"format": {"type": "csv", "encoding": "idna"}}, "not an encoding of text"),
        ({"format": {"type": "csv", "encoding": "punycode"}}, "not an encoding of text"),
        ({"format": {"type": "csv", "encoding": "hex"}}, "not an encoding of text"),
        ({"reject_limit": {"share": 2}}, "less than or equal to 1"),
    ],
)
def test_a_contradiction_is_named(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        rules(**changes)


def test_a_spec_is_read_back_from_its_own_json() -> None:
    spec = rules(readiness={"manifest": "{name}.json"})
    assert FileFeedSpec.model_validate_json(spec.model_dump_json()) == spec


def test_a_companion_is_named_after_the_file() -> None:
    assert Readiness(manifest="{name}.manifest.json").companion("a.csv.gz") == "a.csv.gz.manifest.json"
    assert Readiness(trigger="{stem}.done").companion("a.csv.gz") == "a.done"
    assert Readiness().companion("a.csv") is None


@pytest.mark.parametrize(
    ("limit", "rejected", "read", "exceeded"),
    [
        ({"share": 0.05}, 5, 100, False),
        ({"share": 0.05}, 6, 100, True),
        ({"share": 0}, 1, 10, True),
        ({"share": 0.05}, 0, 0, False),
        ({"rows": 0, "share": None}, 1, 1_000_000, True),
        ({"rows": 3}, 3, 60, False),
    ],
)
def test_limits_are_inclusive(limit: dict[str, Any], rejected: int, read: int, exceeded: bool) -> None:
    assert (RejectLimit(**limit).exceeded(rejected, read) is not None) is exceeded
