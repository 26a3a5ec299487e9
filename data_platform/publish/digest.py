"""A digest of the city's daily mart: how many days it has, and what they add up to, as exact decimals.

Small enough to keep for every time the mart is built, so that a number that changes can be traced to when it did.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from obstore.store import ObjectStore
    from snowflake.connector import SnowflakeConnection

_TOTALS = (
    "SELECT COUNT(*), MIN(LOCAL_DAY), MAX(LOCAL_DAY), SUM(LITRES), SUM(PARKING_SESSIONS), SUM(PARKING_REVENUE)"
    " FROM MARTS.CITY_DAILY"
)


@dataclass(frozen=True)
class CityDailyDigest:
    """What the mart held at `read_at`. Sums are decimals as text; none where the mart knows nothing."""

    days: int
    first_day: str | None
    last_day: str | None
    litres: str | None
    parking_sessions: str | None
    parking_revenue: str | None
    query_id: str
    read_at: str


def read_digest(connection: SnowflakeConnection) -> CityDailyDigest:
    """Reads the mart in one query."""
    cursor = connection.cursor()
    cursor.execute(_TOTALS)
    row: Any = cursor.fetchone()
    first, last, litres, sessions, revenue = (None if value is None else str(value) for value in row[1:])
    return CityDailyDigest(
        days=int(row[0]),
        first_day=first,
        last_day=last,
        litres=litres,
        parking_sessions=sessions,
        parking_revenue=revenue,
        query_id=str(cursor.sfqid),
        read_at=datetime.now(UTC).isoformat(),
    )


def digest_key(event: int) -> str:
    """Where the digest of a materialization event stands in the lake; keys sort as the events came."""
    return f"digests/city_daily/{event:012d}.json"


def write_digest(store: ObjectStore, event: int, run_id: str | None, digest: CityDailyDigest) -> str:
    """Writes an event's digest and returns its key. A second try replaces the first."""
    body = {"event": event, "built_by_run": run_id, **asdict(digest)}
    store.put(digest_key(event), json.dumps(body, indent=2).encode())
    return digest_key(event)
