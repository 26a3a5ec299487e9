"""`data-platform run` takes the demo city's files and its register's tables to the marts, and every file and row is
accounted for."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import obstore
import pytest

from data_platform.lake.store import open_bucket
from data_platform_tests.deploy import folders
from data_platform_tests.end_to_end.conftest import Demo, DemoRun
from data_platform_tests.end_to_end.platform import Platform

pytestmark = pytest.mark.end_to_end


def _plain(row: Mapping[str, Any], *columns: str) -> dict[str, Any]:
    """A row as the answer key spells it: exact decimals and days as text."""
    return {name: _text(row[name]) for name in columns or row}


def _text(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int) else str(value)


def _feeds(ran: DemoRun) -> dict[str, list[str]]:
    """The accounts that it printed: {feed: cells}."""
    lines = ran.ended.stdout.splitlines()
    return {line.split()[0]: line.split()[1:] for line in lines if line.endswith("ok        ")}


def test_it_ends_well_and_says_that_all_is_as_the_answer_key_says(demo: Demo) -> None:
    print(f"first run {demo.first.seconds:.1f} s, second {demo.second.seconds:.1f} s")
    assert demo.first.ended.returncode == 0, demo.first.ended.stdout + demo.first.ended.stderr
    for said in ("all results match the answer key.", "city_daily", "2026-11-01"):
        assert said in demo.first.ended.stdout.lower()
    assert len(_feeds(demo.first)) == 14 + len(demo.key.published)


def test_every_file_has_the_outcome_that_the_key_says(demo: Demo) -> None:
    found = Counter(
        (f"{row['partner']}/{row['feed']}", row["file_name"], row["status"])
        for row in demo.first.tables["PLATFORM.CURRENT_DELIVERIES"]
    )
    expected = Counter(
        (drop.feed, drop.file_name, outcome)
        for drop, outcome in zip(demo.key.drops, demo.key.outcomes, strict=True)
        if outcome is not None
    )
    assert found == expected


@pytest.mark.parametrize("feed", ["meter_readings", "parking_sessions", "air_quality", "stations"])
def test_files_and_rows_add_up_to_the_key(demo: Demo, feed: str) -> None:
    name, totals = next((name, totals) for name, totals in demo.key.totals.items() if name.endswith(f"/{feed}"))
    deliveries = [row for row in demo.first.tables["PLATFORM.CURRENT_DELIVERIES"] if row["feed"] == feed]
    outcomes = Counter(row["status"] for row in deliveries)
    loaded = [row for row in deliveries if row["status"] == "loaded"]
    assert {
        "landed": len(deliveries),
        **{status: outcomes[status] for status in ("loaded", "duplicate", "superseded", "quarantined")},
        "rows_read": sum(row["rows_read"] for row in loaded),
        "rows_loaded": sum(row["rows_loaded"] for row in loaded),
        "rejects": sum(row["rows_rejected"] for row in loaded),
    } == totals.model_dump()
    assert len(demo.first.tables[f"RAW_{name.replace('/', '.')}".upper()]) == demo.key.tables[name]


KEYS = {
    "city_records/addresses": "address_id",
    "city_records/permits": "permit_id",
    "city_records/violations": "violation_id",
    "city_records/service_requests": "request_id",
    "city_records/assessments": "parcel",
    "city_records/parks": "park_id",
    "community_grants/grants": "id",
    "community_grants/sessions": "id",
    "community_programmes/programmes": "id",
}


@pytest.mark.parametrize("feed", KEYS)
def test_the_rows_of_a_table_that_is_read_add_up_to_the_key(demo: Demo, feed: str) -> None:
    source, table = feed.split("/")
    of_feed = [
        row
        for row in demo.first.tables["PLATFORM.CURRENT_LOADS"]
        if (row["source"], row["table_name"]) == (source, table)
    ]
    assert len(of_feed) == (2 if source == "city_records" else 1), "the register changes with the second wave"
    current = {row["extract_id"]: row["rows_loaded"] for row in of_feed if row["removed_at"] is None}
    rejects = [row for row in demo.first.tables["PLATFORM.REJECTS"] if row["extract_id"] in current]
    expected = demo.key.databases[feed]
    assert (len(current), sum(current.values()), len(rejects)) == (
        *(expected.current, expected.rows_loaded, expected.rejects),
    )
    assert Counter((str(json.loads(row["raw_text"])[KEYS[feed]]), row["column_name"]) for row in rejects) == Counter(
        (reject.row, reject.column) for reject in expected.rejected
    )
    assert len(demo.first.tables[f"RAW_{source}.{table}".upper()]) == demo.key.tables[feed]


def test_each_dataset_is_published_with_the_rows_that_the_key_says(demo: Demo) -> None:
    published = demo.second.tables["PLATFORM.PUBLICATIONS"]
    assert {row["dataset"]: row["rows_published"] for row in published} == demo.key.published
    assert len(published) == len(demo.key.published), "once each"


def test_each_reject_names_its_record_and_column(demo: Demo) -> None:
    expected = Counter(
        (drop.file_name, reject.record, reject.column)
        for drop, outcome in zip(demo.key.drops, demo.key.outcomes, strict=True)
        if outcome == "loaded"
        for reject in drop.rejects
    )
    loaded = {
        row["delivery_id"]: row["file_name"]
        for row in demo.first.tables["PLATFORM.CURRENT_DELIVERIES"]
        if row["status"] == "loaded"
    }
    found = Counter(
        (loaded[row["delivery_id"]], row["record_number"], row["column_name"])
        for row in demo.first.tables["PLATFORM.REJECTS"]
        if row["delivery_id"] in loaded
    )
    assert found == expected


def test_each_typed_address_has_the_place_or_the_reason_of_the_key(demo: Demo) -> None:
    rows = demo.first.tables["RAW_ADDRESS_SEARCH.SERVICE_REQUESTS"]
    (expected,) = demo.key.geocoded.values()
    assert Counter(row["status"] for row in rows) == expected
    assert all((row["reason"] is None) == (row["status"] == "matched") for row in rows)
    kept = demo.first.tables["PLATFORM.GEOCODED_ADDRESSES"]
    assert len({row["address"] for row in kept}) == len(kept), "no spelling of an address was asked for twice"


@pytest.mark.parametrize(
    "mart",
    [
        *("city_daily", "fct_parking_daily", "fct_air_quality_daily", "dim_stations", "permits_by_neighborhood"),
        *("neighborhoods", "fct_service_requests", "grants_by_neighborhood"),
    ],
)
def test_the_marts_are_the_keys(demo: Demo, mart: str) -> None:
    columns = list(demo.key.marts[mart][0])
    found = [_plain(row, *columns) for row in demo.first.tables[f"MARTS.{mart.upper()}"]]
    assert sorted(map(repr, found)) == sorted(map(repr, demo.key.marts[mart]))


def test_the_water_mart_is_the_keys(demo: Demo) -> None:
    rows = [_plain(row) for row in demo.first.tables["MARTS.FCT_METER_READINGS_DAILY"]]
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


def test_a_second_run_finds_nothing_new_and_accounts_for_everything_again(demo: Demo) -> None:
    assert demo.second.ended.returncode == 0, demo.second.ended.stdout + demo.second.ended.stderr
    for table, rows in demo.first.tables.items():
        assert demo.second.tables[table] == rows, f"{table} is not as it was"
    assert _feeds(demo.second) == _feeds(demo.first)
    assert "Nothing new: " in demo.second.ended.stdout
    assert "the databases and web APIs were read today" in demo.second.ended.stdout
    assert "All results match the answer key." in demo.second.ended.stdout


def test_the_buckets_hold_only_the_folders_that_the_roles_of_aws_know(demo: Demo, platform: Platform) -> None:
    given = platform.settings
    for bucket, known in ((given.lake_bucket, folders.LAKE), (given.landing_bucket, folders.LANDING)):
        listed = obstore.list_with_delimiter(open_bucket(given, bucket))
        assert not listed["objects"]
        assert {str(folder).strip("/") for folder in listed["common_prefixes"]} <= known


def test_what_no_feed_takes_stays_and_is_reported_once(demo: Demo, platform: Platform) -> None:
    listing = platform.sftp("harbor_water", "ls -1 /inbound", "ls -1 /receipts/*")
    names = listing.stdout.split()
    assert "/inbound/notes_for_the_city.txt" in names
    assert sum("notes_for_the_city.txt" in name and name.startswith("/receipts/") for name in names) == 1
