"""The models' numbers, held against plain pandas on the same rows, over both changes of clocks.

A first wave of extracts is built; then come late rows, a superseding delivery and a new list of stations, and the
project is built again: the second build is incremental.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import ROUND_HALF_UP, Decimal
from random import Random
from typing import Any

import pandas as pd
import pytest
from snowflake.connector import SnowflakeConnection

from data_platform_tests.dbt.conftest import Dbt
from data_platform_tests.dbt.raw_tables import (
    DAYS,
    address,
    air,
    fetch,
    insert,
    local_day,
    permit,
    readings,
    sessions,
    station,
)

pytestmark = pytest.mark.server


@dataclass
class City:
    """What stands in the raw tables after the second wave."""

    readings: pd.DataFrame
    sessions: pd.DataFrame
    air: pd.DataFrame


@pytest.fixture(scope="module")
def city(warehouse: SnowflakeConnection, dbt: Dbt) -> Iterator[City]:
    random = Random(20260308)
    water: dict[str, list[dict[str, Any]]] = {}
    parked: list[dict[str, Any]] = []
    measured: list[dict[str, Any]] = []
    late = DAYS[1]
    for number, day in enumerate(DAYS):
        if day != late:
            name = f"w-{day}"
            water[name] = insert(warehouse, "harbor_water.meter_readings", name, readings(day, random), minutes=number)
        parked += insert(warehouse, "meridian_parking.parking_sessions", f"p-{day}", sessions(day, random))
        measured += insert(warehouse, "clear_air.air_quality", f"a-{day}", air(day, random))
    stations = [station("S01", "Harbour"), station("S02", "Mill"), station("S03", "Depot")]
    insert(warehouse, "clear_air.stations", "s-1", stations)
    insert(warehouse, "city_records.addresses", "r-1", [address(1), address(2, "Uplands")])
    permits = [permit("BP1", 1, cost=Decimal("10.50")), permit("BP2", 1, status="finished"), permit("BP3", 9)]
    insert(warehouse, "city_records.permits", "r-1", permits)
    first = dbt("build")
    assert first.returncode == 0, first.stdout

    # A delivery that was extracted before everything else arrives last: no high-water mark may pass it over.
    water["late"] = insert(warehouse, "harbor_water.meter_readings", "late", readings(late, random), minutes=-600)
    # Another supersedes one: its rows come instead of the old one's, some amounts revised, the last hour left out.
    superseded = f"w-{DAYS[4]}"
    revised = [
        {**row, "litres": row["litres"] + Decimal("0.125")}
        for row in ({k: v for k, v in r.items() if not k.startswith("_")} for r in water.pop(superseded)[:-3])
    ]
    warehouse.cursor().execute(f"DELETE FROM RAW_HARBOR_WATER.METER_READINGS WHERE _EXTRACT_ID = '{superseded}'")
    water["again"] = insert(warehouse, "harbor_water.meter_readings", "again", revised, minutes=900)
    # And one repeats a reading of another file with another amount; the latest wins.
    repeated = {k: v for k, v in water[f"w-{DAYS[0]}"][0].items() if not k.startswith("_")}
    repeat = {**repeated, "litres": Decimal("7.001")}
    water["repeat"] = insert(warehouse, "harbor_water.meter_readings", "repeat", [repeat], minutes=901)
    water[f"w-{DAYS[0]}"].pop(0)

    warehouse.cursor().execute("TRUNCATE TABLE RAW_CLEAR_AIR.STATIONS")
    insert(
        warehouse, "clear_air.stations", "s-2", [station("S01", "Old Harbour"), station("S02", "Mill", active=False)]
    )
    second = dbt("build")
    assert second.returncode == 0, second.stdout

    def frame(rows: list[dict[str, Any]], instant: str, minutes_before: int = 0) -> pd.DataFrame:
        made = pd.DataFrame(rows)
        return made.assign(local_day=[local_day(value - timedelta(minutes=minutes_before)) for value in made[instant]])

    yield City(
        readings=frame([row for rows in water.values() for row in rows], "read_at"),
        sessions=frame(parked, "started_at"),
        air=frame(measured, "measured_at", minutes_before=10),
    )


def test_litres_of_a_meter_and_day_are_exact_sums_of_23_24_or_25_hours(
    city: City, warehouse: SnowflakeConnection
) -> None:
    grouped = city.readings.groupby(["meter_id", "local_day"])["litres"]
    expected = {key: (sum(values), len(values)) for key, values in grouped}
    rows = fetch(warehouse, "SELECT METER_ID, LOCAL_DAY, LITRES, READINGS FROM MARTS.FCT_METER_READINGS_DAILY")
    assert {(meter, day): (litres, count) for meter, day, litres, count in rows} == expected
    by_day = {day: count for meter, day, _, count in rows if meter == "M-1"}
    assert [by_day[day] for day in DAYS] == [24, 23, 24, 24, 24, 24], "25 less the hour that was left out"


def test_sessions_and_revenue_count_on_the_day_a_session_began(city: City, warehouse: SnowflakeConnection) -> None:
    expected = {
        key: (len(group), sum((fee for fee in group["fee"] if fee is not None), Decimal(0)))
        for key, group in city.sessions.groupby(["local_day", "zone"])
    }
    rows = fetch(warehouse, "SELECT LOCAL_DAY, ZONE, SESSIONS, REVENUE FROM MARTS.FCT_PARKING_DAILY")
    assert {(day, zone): (count, revenue) for day, zone, count, revenue in rows} == expected


def test_pm25_of_a_station_and_day_leaves_out_what_was_not_measured(city: City, warehouse: SnowflakeConnection) -> None:
    expected = {}
    for key, group in city.air.groupby(["station_id", "local_day"]):
        values = [value for value in group["pm25"] if value is not None]
        expected[key] = (_mean(values), max(values), len(values))
    rows = fetch(
        warehouse,
        "SELECT STATION_ID, LOCAL_DAY, PM25_MEAN, PM25_MAX, MEASUREMENTS FROM MARTS.FCT_AIR_QUALITY_DAILY",
    )
    assert {(station, day): tuple(numbers) for station, day, *numbers in rows} == expected


def test_the_city_adds_up_its_days(city: City, warehouse: SnowflakeConnection) -> None:
    rows = fetch(
        warehouse,
        "SELECT LOCAL_DAY, LITRES, PARKING_SESSIONS, PARKING_REVENUE, PM25_MEAN FROM MARTS.CITY_DAILY ORDER BY 1",
    )
    assert [row[0] for row in rows] == DAYS
    for day, litres, count, revenue, pm25 in rows:
        parked = city.sessions[city.sessions["local_day"] == day]
        measured = city.air[city.air["local_day"] == day]
        assert litres == sum(city.readings[city.readings["local_day"] == day]["litres"])
        assert count == len(parked)
        assert revenue == sum(fee for fee in parked["fee"] if fee is not None)
        assert pm25 == _mean([value for value in measured["pm25"] if value is not None])


def test_a_superseded_deliverys_rows_are_gone_and_late_ones_are_in(city: City, warehouse: SnowflakeConnection) -> None:
    extracts = fetch(warehouse, "SELECT _EXTRACT_ID, COUNT(*) FROM INTERMEDIATE.INT_METER_READINGS GROUP BY 1")
    assert dict(extracts) == city.readings.groupby("_extract_id").size().to_dict()


def test_stations_keep_their_history_and_stay_known_when_they_leave_the_list(
    city: City, warehouse: SnowflakeConnection
) -> None:
    versions = fetch(
        warehouse,
        "SELECT STATION_ID, NAME, ACTIVE, DBT_VALID_TO IS NULL FROM SNAPSHOTS.STATIONS_HISTORY"
        " ORDER BY STATION_ID, DBT_VALID_FROM",
    )
    assert versions == [
        ("S01", "Harbour", True, False),
        ("S01", "Old Harbour", True, True),
        ("S02", "Mill", True, False),
        ("S02", "Mill", False, True),
        ("S03", "Depot", True, False),
    ]
    now = fetch(warehouse, "SELECT STATION_ID, NAME, ACTIVE, LISTED FROM MARTS.DIM_STATIONS ORDER BY 1")
    assert now == [("S01", "Old Harbour", True, True), ("S02", "Mill", False, True), ("S03", "Depot", True, False)]


def _mean(values: list[Decimal]) -> Decimal:
    return (sum(values, Decimal(0)) / len(values)).quantize(Decimal("0.001"), ROUND_HALF_UP)


@pytest.mark.usefixtures("city")
def test_a_permit_counts_where_its_address_lies_and_stays_when_that_is_gone(warehouse: SnowflakeConnection) -> None:
    found = fetch(warehouse, "SELECT * FROM MARTS.PERMITS_BY_NEIGHBORHOOD ORDER BY NEIGHBORHOOD")
    assert found == [("Orchard", 2, 1, Decimal("10.50")), ("unknown", 1, 1, Decimal("0.00"))]
