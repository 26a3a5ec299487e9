"""Reads past deliveries from the ledger, for loads, checks and people. Writes nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from data_platform.feeds.spec import FeedSpec
from data_platform.landing.ledger import current_deliveries, deliveries, select_deliveries, settled_deliveries
from data_platform.landing.outcomes import DeliveryRow, Status
from data_platform.warehouse.platform import rejects

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection
    from snowflake.connector.cursor import SnowflakeCursor

_OF_FEED = "PARTNER = %s AND FEED = %s"


class Accounting(NamedTuple):
    """The sums of a feed's deliveries. landed = loaded + duplicate + superseded + quarantined. Rows are those of the
    loaded deliveries, and rows_read = rows_loaded + rows_rejected."""

    partner: str
    feed: str
    landed: int
    loaded: int
    duplicate: int
    superseded: int
    quarantined: int
    rows_read: int
    rows_loaded: int
    rows_rejected: int


def list_deliveries(
    connection: SnowflakeConnection,
    database: str,
    *,
    partner: str | None = None,
    feed: str | None = None,
    status: Status | None = None,
    file_name: str | None = None,
    since: datetime | None = None,
    limit: int = 100,
    offset: int = 0,
) -> list[DeliveryRow]:
    """A page of deliveries, the last settled first: `limit` of them after `offset`. `file_name` is a LIKE pattern."""
    tests = {
        "PARTNER = %s": partner,
        "FEED = %s": feed,
        "STATUS = %s": status,
        "FILE_NAME LIKE %s": file_name,
        "SETTLED_AT >= %s::TIMESTAMP_TZ": None if since is None else since.isoformat(),
    }
    used = {test: value for test, value in tests.items() if value is not None}
    where = " AND ".join(used) or "TRUE"
    order = f"ORDER BY SETTLED_AT DESC, DELIVERY_ID LIMIT {int(limit)} OFFSET {int(offset)}"
    with connection.cursor() as cursor:
        return list(select_deliveries(cursor, database, f"{where} {order}", list(used.values())))


def delivery(connection: SnowflakeConnection, database: str, delivery_id: str) -> DeliveryRow | None:
    """The settled delivery whose id is or begins with `delivery_id`; None if no delivery matches, or several do."""
    with connection.cursor() as cursor:
        found = list(select_deliveries(cursor, database, "STARTSWITH(DELIVERY_ID, %s) LIMIT 2", [delivery_id]))
    return found[0] if len(found) == 1 else None


def accounting(connection: SnowflakeConnection, database: str, *, since: timedelta | None = None) -> list[Accounting]:
    """Each feed's sums over the deliveries settled in the last `since`; None means all deliveries."""
    counts = ", ".join(
        f"COUNT_IF(STATUS = '{status}')" for status in ("loaded", "duplicate", "superseded", "quarantined")
    )
    sums = ", ".join(
        f"SUM(IFF(STATUS = 'loaded', {name}, 0))" for name in ("ROWS_READ", "ROWS_LOADED", "ROWS_REJECTED")
    )
    begin = datetime.min.replace(tzinfo=UTC) if since is None else datetime.now(UTC) - since
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT PARTNER, FEED, COUNT(*), {counts}, {sums} FROM {current_deliveries(database).sql}"
            " WHERE SETTLED_AT >= %s::TIMESTAMP_TZ GROUP BY PARTNER, FEED ORDER BY PARTNER, FEED",
            [begin.isoformat()],
        )
        return [
            Accounting(partner, feed, *(int(number) for number in numbers))
            for partner, feed, *numbers in cursor.fetchall()
        ]


def unresolved(cursor: SnowflakeCursor, database: str, feed: FeedSpec, *, since: datetime) -> list[DeliveryRow]:
    """The feed's deliveries that were quarantined since then and still matter, the last settled first. A later file
    with the same name resolves one, as a replay does, and in load mode `replace` also a later file that was loaded for
    the same partition."""
    table, of_feed = deliveries(database).sql, [feed.source, feed.table]
    recent, bound = f"{_OF_FEED} AND SETTLED_AT >= %s::TIMESTAMP_TZ", [*of_feed, since.isoformat()]
    tables = [
        f"(SELECT * FROM {table} WHERE {recent} AND STATUS = 'quarantined') AS BAD",
        f"(SELECT FILE_NAME, MAX(LANDED_AT) AS LANDED_AT FROM {table} WHERE {recent} GROUP BY FILE_NAME) AS NAMED"
        " ON NAMED.FILE_NAME = BAD.FILE_NAME AND NAMED.LANDED_AT = BAD.LANDED_AT",
    ]
    if feed.load_mode == "replace":
        day = "COALESCE(PARTITION_KEY, '')"
        tables.append(
            f"(SELECT {day} AS DAY, MAX(LANDED_AT) AS LANDED_AT FROM {table} WHERE {recent}"
            f" AND STATUS IN ('loaded', 'duplicate') GROUP BY {day}) AS LOADED"
            " ON LOADED.DAY = COALESCE(BAD.PARTITION_KEY, '') AND LOADED.LANDED_AT > BAD.LANDED_AT"
        )
    joined = " LEFT JOIN ".join([" JOIN ".join(tables[:2]), *tables[2:]])
    where = " WHERE LOADED.DAY IS NULL" if feed.load_mode == "replace" else ""
    cursor.execute(f"SELECT DISTINCT BAD.DELIVERY_ID FROM {joined}{where}", bound * len(tables))
    ids = [delivery_id for (delivery_id,) in cursor.fetchall()]
    now = settled_deliveries(cursor, database, ids).values() if ids else ()
    found = [row for row in now if row.status == "quarantined"]
    return sorted(found, key=lambda row: row.settled_at, reverse=True)


class StoredReject(NamedTuple):
    """A row of PLATFORM.REJECTS. `raw_text`: None if the feed has personal columns."""

    record_number: int
    column_name: str | None
    reason: str
    raw_text: str | None


def read_rejects(
    connection: SnowflakeConnection, database: str, row: DeliveryRow, *, limit: int, offset: int
) -> tuple[list[StoredReject], int]:
    """A page of a delivery's rejects, in the order of its records, and how many there are."""
    # A quarantined delivery of an earlier release names no extract.
    column, value = ("EXTRACT_ID", row.extract_id) if row.extract_id else ("DELIVERY_ID", row.delivery_id)
    of_delivery = f"FROM {rejects(database).sql} WHERE {column} = %s"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT COUNT(*) {of_delivery}", [value])
        ((total,),) = cursor.fetchall()
        cursor.execute(
            f"SELECT RECORD_NUMBER, COLUMN_NAME, REASON, RAW_TEXT {of_delivery} ORDER BY RECORD_NUMBER"
            f" LIMIT {int(limit)} OFFSET {int(offset)}",
            [value],
        )
        found = [StoredReject(int(number), *texts) for number, *texts in cursor.fetchall()]
    return found, int(total)


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
