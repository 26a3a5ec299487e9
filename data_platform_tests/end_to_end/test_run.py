"""`data-platform run` takes the demo city's files from SFTP to the marts, and every file and row is accounted for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest

from data_platform_tests.end_to_end.conftest import Demo
from data_platform_tests.end_to_end.platform import Platform

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(900)]


def _mart(platform: Platform, name: str) -> list[dict[str, Any]]:
    with platform.snowflake() as connection:
        cursor = connection.cursor().execute(f"SELECT * FROM MARTS.{name}")
        columns = [column.name.lower() for column in cursor.description]
        return [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]


def _plain(row: Mapping[str, Any], *columns: str) -> dict[str, Any]:
    """A row as the answer key spells it: exact decimals and days as text."""
    return {name: _text(row[name]) for name in columns or row}


def _text(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int) else str(value)


def _same(found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    assert sorted(map(repr, found)) == sorted(repr({name: row[name] for name in found[0]}) for row in expected)


def test_it_ends_well_and_says_that_all_is_as_the_answer_key_says(demo: Demo) -> None:
    print(f"first run {demo.first.seconds:.1f} s, second {demo.second.seconds:.1f} s")
    assert demo.first.ended.returncode == 0, demo.first.ended.stdout + demo.first.ended.stderr
    assert "Everything is as the answer key says." in demo.first.ended.stdout


def test_every_file_has_the_outcome_that_the_key_says(demo: Demo, platform: Platform) -> None:
    rows = platform.query("SELECT PARTNER, FEED, FILE_NAME, STATUS, CONTENT_SHA256 FROM PLATFORM.DELIVERIES")
    expected = Counter(
        (drop.partner, drop.feed, drop.file_name, outcome)
        for drop, outcome in zip(demo.key.drops, demo.key.outcomes, strict=True)
        if outcome is not None
    )
    assert Counter((partner, feed, file, status) for partner, feed, file, status, _ in rows) == expected


@pytest.mark.parametrize("feed", ["meter_readings", "parking_sessions", "air_quality", "stations"])
def test_files_and_rows_add_up_to_the_key(demo: Demo, platform: Platform, feed: str) -> None:
    name, totals = next((name, totals) for name, totals in demo.key.totals.items() if name.endswith(f"/{feed}"))
    outcomes = dict(
        platform.query(f"SELECT STATUS, COUNT(*) FROM PLATFORM.DELIVERIES WHERE FEED = '{feed}' GROUP BY STATUS")
    )
    loaded = platform.query(
        "SELECT SUM(ROWS_READ), SUM(ROWS_LOADED), SUM(ROWS_REJECTED) FROM PLATFORM.DELIVERIES"
        f" WHERE FEED = '{feed}' AND STATUS = 'loaded'"
    )[0]
    statuses = ("loaded", "duplicate", "superseded", "quarantined")
    assert {status: outcomes.get(status, 0) for status in statuses} == {
        status: getattr(totals, status) for status in statuses
    }
    assert sum(outcomes.values()) == totals.landed
    assert tuple(map(int, loaded)) == (totals.rows_read, totals.rows_loaded, totals.rejects)
    table = f"RAW_{name.replace('/', '.')}".upper()
    assert platform.number(f"SELECT COUNT(*) FROM {table}") == demo.key.tables[name]


def test_each_reject_names_its_record_and_column(demo: Demo, platform: Platform) -> None:
    expected = Counter(
        (drop.file_name, reject.record, reject.column)
        for drop, outcome in zip(demo.key.drops, demo.key.outcomes, strict=True)
        if outcome == "loaded"
        for reject in drop.rejects
    )
    rows = platform.query(
        "SELECT D.FILE_NAME, R.RECORD_NUMBER, R.COLUMN_NAME FROM PLATFORM.REJECTS R"
        " JOIN PLATFORM.DELIVERIES D ON D.DELIVERY_ID = R.DELIVERY_ID WHERE D.STATUS = 'loaded'"
    )
    assert Counter((file, int(record), column) for file, record, column in rows) == expected


def test_the_city_daily_mart_is_the_keys(demo: Demo, platform: Platform) -> None:
    _same([_plain(row) for row in _mart(platform, "CITY_DAILY")], demo.key.marts["city_daily"])


@pytest.mark.parametrize("mart", ["fct_parking_daily", "fct_air_quality_daily", "dim_stations"])
def test_the_other_marts_are_the_keys(demo: Demo, platform: Platform, mart: str) -> None:
    columns = list(demo.key.marts[mart][0])
    _same([_plain(row, *columns) for row in _mart(platform, mart)], demo.key.marts[mart])


def test_the_water_mart_is_the_keys(demo: Demo, platform: Platform) -> None:
    rows = [_plain(row) for row in _mart(platform, "FCT_METER_READINGS_DAILY")]
    expected = demo.key.marts["fct_meter_readings_daily"]
    assert len(rows) == expected["rows"]
    for day, numbers in expected["by_day"].items():
        of_day = [row for row in rows if row["local_day"] == day]
        assert len(of_day) == numbers["meters"]
        assert sum(row["readings"] for row in of_day) == numbers["readings"]
        assert sum(Decimal(row["litres"]) for row in of_day) == Decimal(numbers["litres"])
        first = {row["meter_id"]: row for row in of_day}
        for meter in numbers["first_meters"]:
            assert {name: first[meter["meter_id"]][name] for name in meter} == meter


def test_a_second_run_loads_nothing_twice(demo: Demo) -> None:
    assert demo.second.ended.returncode == 0, demo.second.ended.stdout + demo.second.ended.stderr
    for table, rows in demo.first.tables.items():
        assert demo.second.tables[table] == rows, f"{table} is not as it was"


def test_what_no_feed_takes_stays_and_is_reported_once(demo: Demo, platform: Platform) -> None:
    listing = platform.sftp("harbor_water", "ls -1 /inbound", "ls -1 /receipts")
    names = listing.stdout.split()
    assert "/inbound/notes_for_the_city.txt" in names
    assert sum("notes_for_the_city.txt" in name and name.startswith("/receipts/") for name in names) == 1
