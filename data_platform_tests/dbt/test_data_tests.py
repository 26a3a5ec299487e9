"""The project's data tests: they hold while loads go on beside a build, and fail where a mart lost something."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest
from snowflake.connector import SnowflakeConnection

from data_platform_tests.dbt.conftest import Dbt
from data_platform_tests.dbt.raw_tables import DAYS, air, insert, readings, sessions, station

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def built(warehouse: SnowflakeConnection, dbt: Dbt) -> Iterator[SnowflakeConnection]:
    """Every model built, and a load into every raw table since: new rows, and others gone."""
    random = Random(5)
    for number, day in enumerate(DAYS[:3]):
        insert(warehouse, "harbor_water.meter_readings", f"w-{number}", readings(day, random))
        insert(warehouse, "meridian_parking.parking_sessions", f"p-{number}", sessions(day, random))
        insert(warehouse, "clear_air.air_quality", f"a-{number}", air(day, random))
        if number == 1:
            insert(warehouse, "clear_air.stations", "s-1", [station(f"S0{each}", "Mill") for each in (1, 2, 3)])
            ended = dbt("build")
            assert ended.returncode == 0, ended.stdout
    execute = warehouse.cursor().execute
    execute("UPDATE RAW_CLEAR_AIR.STATIONS SET NAME = 'Old Mill'")
    for table, extract in (
        ("HARBOR_WATER.METER_READINGS", "w-0"),
        ("MERIDIAN_PARKING.PARKING_SESSIONS", "p-0"),
        ("CLEAR_AIR.AIR_QUALITY", "a-0"),
    ):
        execute(f"DELETE FROM RAW_{table} WHERE _EXTRACT_ID = '{extract}' AND _RECORD_NUMBER > 20")
    yield warehouse


@pytest.mark.usefixtures("built")
def test_no_test_fails_because_a_load_came_between_a_model_and_its_test(dbt: Dbt) -> None:
    ended = dbt("test")
    assert ended.returncode == 0, ended.stdout


def test_a_city_day_that_lost_something_fails_its_tests(built: SnowflakeConnection, dbt: Dbt) -> None:
    built.cursor().execute(
        "UPDATE MARTS.CITY_DAILY SET LITRES = LITRES - 0.001, PARKING_SESSIONS = PARKING_SESSIONS - 1"
        f" WHERE LOCAL_DAY = '{DAYS[0]}'"
    )
    ended = dbt("test", "--select", "city_daily")
    assert ended.returncode == 1
    for test in ("city_daily_keeps_every_litre", "city_daily_keeps_every_session"):
        assert f"FAIL 1 {test}" in ended.stdout
