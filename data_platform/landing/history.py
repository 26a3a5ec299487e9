"""Reads one feed's past deliveries from the ledger, for ingesting new ones and for checks. Writes nothing."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import TYPE_CHECKING

from data_platform.landing.ledger import deliveries
from data_platform.warehouse.rows import placeholders

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

_OF_FEED = "PARTNER = %s AND FEED = %s"


def loaded_contents(
    connection: SnowflakeConnection,
    database: str,
    partner: str,
    feed: str,
    partitions: Collection[str | None],
) -> dict[tuple[str | None, str], str]:
    """{(partition, SHA-256): delivery id} of the contents loaded in these partitions."""
    wanted = sorted({partition or "" for partition in partitions})
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT PARTITION_KEY, CONTENT_SHA256, DELIVERY_ID FROM {deliveries(database).sql} WHERE {_OF_FEED}"
            f" AND STATUS = 'loaded' AND COALESCE(PARTITION_KEY, '') IN ({placeholders(wanted)})",
            [partner, feed, *wanted],
        )
        return {(partition, sha256): delivery_id for partition, sha256, delivery_id in cursor.fetchall()}


def latest_row_counts(
    connection: SnowflakeConnection, database: str, partner: str, feed: str, *, limit: int
) -> list[int]:
    """The numbers of rows read from the feed's latest loaded deliveries."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT ROWS_READ FROM {deliveries(database).sql} WHERE {_OF_FEED} AND STATUS = 'loaded'"
            f" ORDER BY LANDED_AT DESC LIMIT {int(limit)}",
            [partner, feed],
        )
        return [int(rows) for (rows,) in cursor.fetchall()]


def file_names(
    connection: SnowflakeConnection, database: str, partner: str, feed: str, *, since: datetime
) -> list[str]:
    """The names of the feed's files that landed since then, without quarantined ones."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT DISTINCT FILE_NAME FROM {deliveries(database).sql} WHERE {_OF_FEED}"
            f" AND STATUS <> 'quarantined' AND LANDED_AT >= %s::TIMESTAMP_TZ",
            [partner, feed, since.isoformat()],
        )
        return [name for (name,) in cursor.fetchall()]
