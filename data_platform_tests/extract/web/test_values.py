"""Whatever a record holds arrives as it was, or as a reject with its column."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_platform.local_cloud.web.airtable import Field, Record
from data_platform.local_cloud.web.knack import date_time
from data_platform_tests.extract.web.tables import Town, airtable_feed, airtable_town, knack_feed, knack_town
from data_platform_tests.local_cloud.web.apis import BASE

TYPES = {
    "fldString00000001": ("string", st.text(st.characters(exclude_categories=["Cs"]), min_size=1)),
    "fldNumber00000001": ("decimal(20,4)", st.integers(-(10**10), 10**10)),
    "fldFloat000000001": ("float", st.floats(-1e300, 1e300, allow_nan=False)),
    "fldJson0000000001": ("json", st.lists(st.dictionaries(st.text("abc"), st.integers()), min_size=1, max_size=3)),
    "fldTime0000000001": ("timestamp", st.datetimes(datetime(1, 1, 1), datetime(9999, 1, 1))),
}
COLUMNS = {
    "programme_id": {"type": "string", "nullable": False, "source_name": "id"},
    **{id[3:9].lower(): {"type": type, "source_name": id} for id, (type, _) in TYPES.items()},
}
VALUES = st.fixed_dictionaries({}, optional={id: values for id, (_, values) in TYPES.items()})
ZONE = ZoneInfo("America/New_York")
SLOW = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def airtable() -> Iterator[Town]:
    with airtable_town(0) as town:
        town.service.bases[BASE][0].fields = [Field(id, id, "any") for id in TYPES]
        yield town


@pytest.fixture(scope="module")
def knack() -> Iterator[Town]:
    with knack_town(0) as town:
        yield town


def sent(value: Any) -> Any:
    return f"{value.isoformat()}Z" if isinstance(value, datetime) else value


@SLOW
@given(st.lists(VALUES, max_size=8))
def test_values_arrive_as_they_were_sent(airtable: Town, records: list[dict[str, Any]]) -> None:
    airtable.service.bases[BASE][0].records = [
        Record(f"rec{n:014d}", {id: sent(value) for id, value in values.items()}) for n, values in enumerate(records)
    ]
    read = airtable.read(airtable_feed(COLUMNS))
    assert read.rejects == []
    for row, values in zip(read.rows, records, strict=True):
        for id in TYPES:
            found, expected = row[id[3:9].lower()], values.get(id)
            if isinstance(expected, datetime):
                expected = expected.replace(tzinfo=UTC)
            if isinstance(expected, list):
                found = json.loads(found)
            assert found == (Decimal(expected) if id.startswith("fldNumber") and expected is not None else expected)


@SLOW
@given(st.lists(st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1)).map(lambda t: t.replace(microsecond=0))))
def test_a_time_of_knack_is_that_of_the_wall(knack: Town, walls: list[datetime]) -> None:
    """A wall time that doesn't exist, or occurs twice, is a reject."""
    knack.service.objects[0].records = [
        {"id": f"{n:024x}", "field_2": date_time(wall.isoformat())} for n, wall in enumerate(walls)
    ] + [{"id": "last"}]
    read = knack.read(knack_feed())
    offsets = {n: {wall.replace(tzinfo=ZONE, fold=fold).utcoffset() for fold in (0, 1)} for n, wall in enumerate(walls)}
    odd = [n + 1 for n, found in offsets.items() if len(found) == 2]
    assert [each["record_number"] for each in read.rejects] == odd
    good = [wall for n, wall in enumerate(walls) if n + 1 not in odd]
    assert [row["opened"] for row in read.rows[:-1]] == [wall.replace(tzinfo=ZONE).astimezone(UTC) for wall in good]


def test_a_date_and_a_time_of_knack_are_parts_of_it(knack: Town) -> None:
    columns = {
        "grant_id": {"type": "string", "nullable": False, "source_name": "id"},
        "day": {"type": "date", "source_name": "field_2"},
        "at": {"type": "time", "source_name": "field_1"},
    }
    knack.service.objects[0].records = [
        {"id": "1", "field_1": date_time("2026-03-07T23:30:00"), "field_2": date_time("2026-03-07T23:30:00")},
        {"id": "2", "field_1": "", "field_2": ""},
        {"id": "3", "field_1": {"time": "noon"}, "field_2": {"unix_timestamp": 10**30}},
    ]
    read = knack.read(knack_feed(columns, drift="ignore"))
    assert read.rows[0]["day"] == datetime(2026, 3, 7).date()
    assert read.rows[0]["at"] == (datetime.min + timedelta(hours=23, minutes=30)).time()
    assert (read.rows[1]["day"], read.rows[1]["at"]) == (None, None)
    assert [each["reason"] for each in read.rejects] == [
        "day: is an object or an array, not date; at: is an object or an array, not time"
    ]
