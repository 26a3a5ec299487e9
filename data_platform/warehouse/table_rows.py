"""How many rows a merged table is to have. The sum of its loads doesn't say, as a row takes the place of another with
the same key: each load records what was expected before it, and how many rows more or fewer there are after it. The
number is exact, and costs two counts, which Snowflake reads from metadata."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from data_platform.feeds.spec import FeedSpec
from data_platform.warehouse.platform import table_rows

if TYPE_CHECKING:
    from snowflake.connector.cursor import SnowflakeCursor

    from data_platform.warehouse.table import TableRef


def count(cursor: SnowflakeCursor, table: TableRef) -> int:
    """The table's rows now, in the open transaction."""
    cursor.execute(f"SELECT COUNT(*) FROM {table.sql}")
    ((rows,),) = cursor.fetchall()
    return int(rows)


def record_load(
    cursor: SnowflakeCursor, table: TableRef, feed: FeedSpec, before: int, now: datetime, *, again: bool
) -> None:
    """Records the expected rows after a load, in its transaction. `before`: the table's rows before it. `again`: it
    loads extracts that were loaded before, which changes no expectation: what comes back was expected all the time. If
    nothing was expected yet, as after the loss of the ledger, it may be one of several parts, and says nothing."""
    after = count(cursor, table)
    cursor.execute(
        f"SELECT TABLE_ROWS FROM {table_rows(table.database).sql} WHERE SOURCE = %s AND TABLE_NAME = %s"
        " ORDER BY RECORDED_AT DESC LIMIT 1",
        [feed.source, feed.table],
    )
    found = cursor.fetchall()
    if again and not found:
        return
    wanted = int(found[0][0]) + (0 if again else after - before) if found else after
    record(cursor, table.database, feed, wanted, now)


def record(cursor: SnowflakeCursor, database: str, feed: FeedSpec, rows: int, now: datetime) -> None:
    """Records that the table is to have so many rows, in the caller's transaction."""
    cursor.execute(
        f"INSERT INTO {table_rows(database).sql} (SOURCE, TABLE_NAME, TABLE_ROWS, RECORDED_AT)"
        " SELECT %s, %s, %s, %s::TIMESTAMP_TZ",
        [feed.source, feed.table, rows, now.isoformat()],
    )


def expected(cursor: SnowflakeCursor, database: str) -> dict[str, int]:
    """{feed: the rows that its merged table is to have}, of the feeds that were loaded since this is recorded."""
    cursor.execute(
        f"SELECT SOURCE, TABLE_NAME, TABLE_ROWS FROM {table_rows(database).sql}"
        " QUALIFY ROW_NUMBER() OVER (PARTITION BY SOURCE, TABLE_NAME ORDER BY RECORDED_AT DESC) = 1"
    )
    return {f"{source}/{table}": int(rows) for source, table, rows in cursor.fetchall()}
