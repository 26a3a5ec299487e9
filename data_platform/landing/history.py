"""Reads one feed's past deliveries from the ledger, for ingesting new ones and for checks. Writes nothing."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from data_platform.feeds.spec import FeedSpec
from data_platform.landing.ledger import current_deliveries, deliveries

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection
    from snowflake.connector.cursor import SnowflakeCursor

_OF_FEED = "PARTNER = %s AND FEED = %s"


def latest_row_counts(cursor: SnowflakeCursor, database: str, feed: FeedSpec, *, limit: int) -> list[int]:
    """The numbers of rows read from the feed's latest loaded deliveries. A file that was superseded since counts too:
    it was of the usual size."""
    cursor.execute(
        f"SELECT ROWS_READ FROM {deliveries(database).sql} WHERE {_OF_FEED} AND STATUS = 'loaded'"
        f" ORDER BY LANDED_AT DESC LIMIT {int(limit)}",
        [feed.source, feed.table],
    )
    return [int(rows) for (rows,) in cursor.fetchall()]


def file_names(
    connection: SnowflakeConnection, database: str, partner: str, feed: str, *, since: datetime
) -> list[str]:
    """The names of the feed's files that landed since then, without quarantined ones."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT DISTINCT FILE_NAME FROM {current_deliveries(database).sql} WHERE {_OF_FEED}"
            f" AND STATUS <> 'quarantined' AND LANDED_AT >= %s::TIMESTAMP_TZ",
            [partner, feed, since.isoformat()],
        )
        return [name for (name,) in cursor.fetchall()]
