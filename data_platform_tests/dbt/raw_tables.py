"""Raw tables as the loader leaves them, filled from plain rows: what dbt reads, without files or the lake."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from snowflake.connector import SnowflakeConnection

import data_platform
from data_platform.feeds.declared import declared_feeds
from data_platform.feeds.spec import FeedSpec

DEFS = Path(data_platform.__file__).parent / "defs"
CITY = ZoneInfo("America/New_York")
# The days around both changes of clocks.
DAYS = [date(2026, 3, 7), date(2026, 3, 8), date(2026, 3, 9), date(2026, 10, 31), date(2026, 11, 1), date(2026, 11, 2)]
ZERO = datetime(2026, 11, 3, tzinfo=UTC)
Row = dict[str, Any]


def create_raw_tables(connection: SnowflakeConnection) -> None:
    """Every raw table that the demo's feeds declare, empty."""
    for feed in declared_feeds(DEFS):
        columns = [f"{column.snowflake_name} {column.snowflake_type}" for column in feed.table_columns]
        connection.cursor().execute(f"CREATE SCHEMA IF NOT EXISTS RAW_{feed.source.upper()}")
        connection.cursor().execute(f"CREATE OR REPLACE TABLE {table(feed)} ({', '.join(columns)})")


def insert(
    connection: SnowflakeConnection, name: str, extract: str, rows: Sequence[Row], *, minutes: int = 0
) -> list[Row]:
    """Loads an extract of that name into `<source>.<table>`, extracted `minutes` after the hour zero of these tests.
    Returns its rows with the columns that the loader adds."""
    partner, feed = name.split(".")
    at = ZERO + timedelta(minutes=minutes)
    full = [
        {
            **row,
            "_extract_id": extract,
            "_extracted_at": at,
            **(
                {}
                if partner in ("city_records", "address_search", "community_programmes", "community_grants")
                else {"_delivery_id": f"d-{extract}", "_record_number": number}
            ),
        }
        for number, row in enumerate(rows, start=1)
    ]
    columns = list(full[0])
    values = ", ".join("(" + ", ".join(_literal(row[column]) for column in columns) + ")" for row in full)
    connection.cursor().execute(
        f"INSERT INTO RAW_{partner.upper()}.{feed.upper()} ({', '.join(columns).upper()}) VALUES {values}"
    )
    return full


def hours_of(day: date) -> Iterator[datetime]:
    """Every hour of a day in the city, as UTC: 23, 24 or 25 of them."""
    start = datetime(day.year, day.month, day.day, tzinfo=CITY).astimezone(UTC)
    after = day + timedelta(days=1)
    end = datetime(after.year, after.month, after.day, tzinfo=CITY).astimezone(UTC)
    while start < end:
        yield start
        start += timedelta(hours=1)


def readings(day: date, random: Random, meters: int = 3) -> list[Row]:
    """A reading a meter and hour, the first at midnight itself and the last a second before the day's end."""
    return [
        {
            "meter_id": f"M-{meter}",
            "read_at": hour + timedelta(seconds=3599 * meter // max(1, meters - 1)),
            "litres": Decimal(random.randrange(0, 10**9)).scaleb(-3),
            "status": "ok",
        }
        for hour in hours_of(day)
        for meter in range(meters)
    ]


def sessions(day: date, random: Random, count: int = 40) -> list[Row]:
    """Sessions that begin on the day, some still open."""
    hours = list(hours_of(day))
    rows: list[Row] = []
    for number in range(count):
        began = random.choice(hours) + timedelta(seconds=random.randrange(3600))
        is_open = random.random() < 0.1
        rows.append(
            {
                "session_id": f"P-{day:%Y%m%d}-{number}",
                "zone": random.choice("ABC"),
                "started_at": began,
                "ended_at": None if is_open else began + timedelta(hours=random.randrange(1, 9)),
                "fee": None if is_open else Decimal(random.randrange(100, 4000)).scaleb(-2),
                "electric": random.random() < 0.2,
            }
        )
    return rows


def air(day: date, random: Random, stations: Sequence[str] = ("S01", "S02", "S03")) -> list[Row]:
    """Measurements every ten minutes, some without a value; the last of a day ends at midnight."""
    return [
        {
            "station_id": station,
            "measured_at": hour + timedelta(minutes=10 * (ten + 1)),
            "pm25": None if random.random() < 0.05 else Decimal(random.randrange(100, 6000)).scaleb(-2),
            "humidity": 50,
        }
        for station in stations
        for hour in hours_of(day)
        for ten in range(6)
    ]


def station(station_id: str, name: str, *, active: bool = True) -> Row:
    """A row of the list of stations."""
    return {
        "station_id": station_id,
        "name": name,
        "latitude": Decimal("43.071800"),
        "longitude": Decimal("-70.762600"),
        "opened_on": date(2020, 1, 1),
        "active": active,
    }


def address(address_id: int, neighborhood: str = "Orchard") -> Row:
    """A row of the register's addresses."""
    return {"address_id": address_id, "street": "Mill Pond", "house_number": "1", "neighborhood": neighborhood}


def permit(permit_id: str, address_id: int, *, status: str = "issued", cost: Decimal | None = None) -> Row:
    """A row of the register's permits."""
    return {
        "permit_id": permit_id,
        "address_id": address_id,
        "type": "sign",
        "status": status,
        "cost": cost,
        "applied_on": date(2026, 3, 7),
        "updated_at": ZERO,
    }


def fetch(connection: SnowflakeConnection, query: str) -> list[tuple[Any, ...]]:
    """All rows of a query."""
    cursor = connection.cursor()
    cursor.execute(query)
    return [tuple(row) for row in cursor.fetchall()]


def table(feed: FeedSpec) -> str:
    """A feed's table."""
    return f"RAW_{feed.source}.{feed.table}".upper()


def _literal(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool | int | Decimal):
        return str(value).upper()
    if isinstance(value, datetime):
        return f"'{value.isoformat()}'::TIMESTAMP_TZ"
    return f"'{value}'"


def local_day(instant: datetime) -> date:
    """The day in the city, by Python's own time zone rules."""
    return instant.astimezone(CITY).date()
