"""The answers of geocoding services, in PLATFORM.GEOCODED_ADDRESSES, and how often they were asked, in
PLATFORM.GEOCODING. Records are only added: the latest answer counts."""

from __future__ import annotations

from collections.abc import Container, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from data_platform.feeds.geocoded import KeptDays
from data_platform.geocode.provider import Answer
from data_platform.warehouse.platform import GEOCODED_COLUMNS, GEOCODING_COLUMNS, geocoded, geocoding
from data_platform.warehouse.rows import insert_rows, latest_sql

if TYPE_CHECKING:
    from snowflake.connector.cursor import SnowflakeCursor


class Known(NamedTuple):
    """An answer, and when it was given."""

    answer: Answer
    asked_at: datetime


def known(
    cursor: SnowflakeCursor, database: str, provider: str, wanted: Container[str], kept: KeptDays, now: datetime
) -> dict[str, Known]:
    """{normalized address: what is known} of the wanted ones whose answers haven't expired."""
    latest = latest_sql(geocoded(database), GEOCODED_COLUMNS, ("PROVIDER", "ADDRESS"), "ASKED_AT")
    limits = [(now - timedelta(days=days)).isoformat() for days in (kept.matched, kept.missed)]
    cursor.execute(
        "SELECT ADDRESS, STATUS, REASON, MATCHED_ADDRESS, LATITUDE, LONGITUDE, PRECISION, ASKED_AT"
        f" FROM ({latest}) WHERE PROVIDER = %s"
        " AND ASKED_AT > CASE WHEN STATUS = 'matched' THEN %s::TIMESTAMP_TZ ELSE %s::TIMESTAMP_TZ END",
        [provider, *limits],
    )
    return {
        address: Known(Answer(status, reason or "", matched, _exact(north), _exact(east), precision), asked_at)
        for address, status, reason, matched, north, east, precision, asked_at in cursor
        if address in wanted
    }


def asked_since(cursor: SnowflakeCursor, database: str, provider: str, since: datetime) -> int:
    """For how many addresses the service was asked since then."""
    cursor.execute(
        f"SELECT COALESCE(SUM(ADDRESSES), 0) FROM {geocoding(database).sql} WHERE PROVIDER = %s"
        " AND ASKED_AT >= %s::TIMESTAMP_TZ",
        [provider, since.isoformat()],
    )
    ((count,),) = cursor.fetchall()
    return int(count)


def ask(cursor: SnowflakeCursor, database: str, provider: str, addresses: int, run_id: str | None) -> None:
    """Records that the service is about to be asked for so many addresses: a run that is killed has spent them too.
    Negative: so many were not sent after all."""
    row = (provider, addresses, datetime.now(UTC), run_id)
    insert_rows(cursor, geocoding(database), GEOCODING_COLUMNS, [row])


def keep(cursor: SnowflakeCursor, database: str, provider: str, found: Mapping[str, Known], run_id: str | None) -> None:
    """Records answers by the normalized addresses. They are committed when this returns."""
    rows = [
        (
            *(provider, address, answer.status, answer.reason or None, answer.matched),
            *(_text(answer.latitude), _text(answer.longitude), answer.precision, asked_at, run_id),
        )
        for address, (answer, asked_at) in found.items()
    ]
    insert_rows(cursor, geocoded(database), GEOCODED_COLUMNS, rows)


def _exact(value: object) -> Decimal | None:
    return None if value is None else Decimal(str(value))


def _text(value: Decimal | None) -> str | None:
    return None if value is None else str(value)
