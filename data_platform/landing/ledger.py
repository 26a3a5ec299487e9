"""The ledger of deliveries: queries, and the writes within a load's transaction. `outcomes.py` decides what to
write. Records are only added: `warehouse/rows.py` says why."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import astuple, fields
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from data_platform.contract import quoted
from data_platform.feeds.spec import WHOLE, FeedSpec, LoadMode
from data_platform.landing.outcomes import DeliveryRow, Settlement
from data_platform.warehouse import platform
from data_platform.warehouse.migrations import Migration
from data_platform.warehouse.platform import create_table, create_view, loads, rejects
from data_platform.warehouse.rows import insert_rows, latest_sql, placeholders, time_of_record
from data_platform.warehouse.table import PLATFORM, TableRef

if TYPE_CHECKING:
    from snowflake.connector.cursor import SnowflakeCursor

_COLUMNS = {
    "DELIVERY_ID": "VARCHAR",
    "PARTNER": "VARCHAR",
    "FEED": "VARCHAR",
    "FILE_NAME": "VARCHAR",
    "OBJECT_KEY": "VARCHAR",
    "VERSION_ID": "VARCHAR",
    "ETAG": "VARCHAR",
    "SIZE_BYTES": "NUMBER(19,0)",
    "CONTENT_SHA256": "VARCHAR",
    "LANDED_AT": "TIMESTAMP_TZ(6)",
    "PARTITION_KEY": "VARCHAR",
    "STATUS": "VARCHAR",
    "REASON": "VARCHAR",
    "ROWS_READ": "NUMBER(19,0)",
    "ROWS_LOADED": "NUMBER(19,0)",
    "ROWS_REJECTED": "NUMBER(19,0)",
    "EXTRACT_ID": "VARCHAR",
    "SUPERSEDED_BY": "VARCHAR",
    "RUN_ID": "VARCHAR",
    "SETTLED_AT": "TIMESTAMP_TZ(6)",
}
_DELIVERY = ", ".join(quoted(name) for name in _COLUMNS)
_IDS_A_STATEMENT = 5_000
_IN_USE = "STATUS IN ('loaded', 'duplicate')"


def deliveries(database: str) -> TableRef:
    """PLATFORM.DELIVERIES: a record for each outcome that a delivery has got."""
    return TableRef(database, PLATFORM, "DELIVERIES")


def current_deliveries(database: str) -> TableRef:
    """PLATFORM.CURRENT_DELIVERIES: the latest record of each delivery."""
    return TableRef(database, PLATFORM, "CURRENT_DELIVERIES")


def settled_deliveries(cursor: SnowflakeCursor, database: str, delivery_ids: Sequence[str]) -> dict[str, DeliveryRow]:
    """{delivery id: ledger row} of those deliveries that are settled."""
    found: dict[str, DeliveryRow] = {}
    for start in range(0, len(delivery_ids), _IDS_A_STATEMENT):
        chunk = delivery_ids[start : start + _IDS_A_STATEMENT]
        rows = select_deliveries(cursor, database, f"DELIVERY_ID IN ({placeholders(chunk)})", chunk)
        found.update({row.delivery_id: row for row in rows})
    return found


def related_deliveries(
    cursor: SnowflakeCursor, database: str, settlements: Sequence[Settlement], mode: LoadMode
) -> list[DeliveryRow]:
    """The ledger rows that `decide` needs: of these deliveries; of loaded ones and duplicates with the same content or
    file name (for `replace` and `history`, also with the same partition); of the duplicates of those; and of those with
    such a duplicate's file name."""
    first = settlements[0]
    ids = [each.delivery_id for each in settlements]
    names = [each.file_name for each in settlements]
    contents = [each.content_sha256 for each in settlements if each.content_sha256 is not None] or [""]
    test = f"FILE_NAME IN ({placeholders(names)}) OR CONTENT_SHA256 IN ({placeholders(contents)})"
    bound: list[Any] = [*ids, *names, *contents]
    if mode in WHOLE:
        partitions = sorted({each.partition or "" for each in settlements})
        test += f" OR COALESCE(PARTITION_KEY, '') IN ({placeholders(partitions)})"
        bound += partitions
    where = f"DELIVERY_ID IN ({placeholders(ids)}) OR ({_IN_USE} AND ({test}))"
    found = list(_of_feed(cursor, database, first.partner, first.feed, where, bound))
    there = [row.content_sha256 for row in found if row.status == "loaded" and row.delivery_id not in ids]
    return [*found, *_duplicates(cursor, database, first, there, {row.delivery_id for row in found})]


def in_use(cursor: SnowflakeCursor, database: str, feed: FeedSpec) -> list[DeliveryRow]:
    """The feed's deliveries that are loaded, or duplicates of loaded ones."""
    where = f"PARTNER = %s AND FEED = %s AND {_IN_USE}"
    return list(select_deliveries(cursor, database, where, [feed.source, feed.table]))


def _duplicates(
    cursor: SnowflakeCursor, database: str, first: Settlement, contents: Sequence[str | None], known: Collection[str]
) -> Iterator[DeliveryRow]:
    """The duplicates of these contents, and the deliveries with their file names, without those `known`."""
    if not contents:
        return
    of_feed = partial(_of_feed, cursor, database, first.partner, first.feed)
    found = list(of_feed(f"STATUS = 'duplicate' AND CONTENT_SHA256 IN ({placeholders(contents)})", contents))
    names = [row.file_name for row in found]
    if names:
        found += of_feed(f"{_IN_USE} AND FILE_NAME IN ({placeholders(names)})", names)
    yield from {row.delivery_id: row for row in found if row.delivery_id not in known}.values()


def corrected_by(
    cursor: SnowflakeCursor, database: str, feed: FeedSpec, delivery_ids: Sequence[str]
) -> list[DeliveryRow]:
    """The deliveries that these have superseded, and the duplicates of them that are loaded in their place."""
    of_feed = partial(_of_feed, cursor, database, feed.source, feed.table)
    superseded = list(of_feed(f"SUPERSEDED_BY IN ({placeholders(delivery_ids)})", delivery_ids))
    contents = [row.content_sha256 for row in superseded if row.content_sha256 is not None]
    if not contents:
        return superseded
    return [*superseded, *of_feed(f"STATUS = 'loaded' AND CONTENT_SHA256 IN ({placeholders(contents)})", contents)]


def duplicates(cursor: SnowflakeCursor, database: str, extract_ids: Sequence[str]) -> set[str]:
    """Those of the extracts that are of duplicates: they are loaded when the delivery that they repeat is corrected."""
    if not extract_ids:
        return set()
    cursor.execute(
        f"SELECT EXTRACT_ID FROM {current_deliveries(database).sql} WHERE STATUS = 'duplicate'"
        f" AND EXTRACT_ID IN ({placeholders(extract_ids)})",
        list(extract_ids),
    )
    return {extract_id for (extract_id,) in cursor.fetchall()}


def delete_rejects(cursor: SnowflakeCursor, database: str, before: datetime) -> int:
    """Deletes the rejects of deliveries that were settled before then, and not again since. Returns their number."""
    cursor.execute(
        f"DELETE FROM {rejects(database).sql} WHERE DELIVERY_ID IN (SELECT DELIVERY_ID FROM {deliveries(database).sql}"
        " GROUP BY DELIVERY_ID HAVING MAX(SETTLED_AT) < %s::TIMESTAMP_TZ)",
        [before.isoformat()],
    )
    return cursor.rowcount or 0


def write_deliveries(cursor: SnowflakeCursor, database: str, rows: Collection[DeliveryRow]) -> None:
    """Records outcomes, in the caller's transaction."""
    insert_rows(cursor, deliveries(database), _COLUMNS, [astuple(row) for row in rows])


def record_feed_removed(cursor: SnowflakeCursor, database: str, partner: str, feed: str) -> None:
    """Records, in the caller's transaction, that the feed's loaded deliveries and their duplicates are in no table any
    more: they are superseded, by no other delivery."""
    cursor.execute(
        f"SELECT MAX(SETTLED_AT) FROM {deliveries(database).sql} WHERE PARTNER = %s AND FEED = %s", [partner, feed]
    )
    ((last,),) = cursor.fetchall()
    values = {"STATUS": "'superseded'", "REASON": "'its feed was removed'", "SETTLED_AT": "%s::TIMESTAMP_TZ"}
    selected = ", ".join(values.get(name, quoted(name)) for name in _COLUMNS)
    cursor.execute(
        f"INSERT INTO {deliveries(database).sql} ({_DELIVERY}) SELECT {selected} FROM"
        f" {current_deliveries(database).sql} WHERE PARTNER = %s AND FEED = %s AND {_IN_USE}",
        [time_of_record([last]).isoformat(), partner, feed],
    )


def _of_feed(
    cursor: SnowflakeCursor, database: str, partner: str, feed: str, where: str, bound: Sequence[Any]
) -> Iterator[DeliveryRow]:
    """The deliveries of a feed that are as `where` says. First come the few that were so once, by the columns that it
    tests: the view would compare all the feed's records with their later ones."""
    of_feed = [partner, feed]
    cursor.execute(
        f"SELECT DISTINCT DELIVERY_ID FROM {deliveries(database).sql} WHERE PARTNER = %s AND FEED = %s AND ({where})",
        [*of_feed, *bound],
    )
    once = [delivery_id for (delivery_id,) in cursor.fetchall()]
    for start in range(0, len(once), _IDS_A_STATEMENT):
        ids = once[start : start + _IDS_A_STATEMENT]
        test = f"PARTNER = %s AND FEED = %s AND DELIVERY_ID IN ({placeholders(ids)}) AND ({where})"
        yield from select_deliveries(cursor, database, test, [*of_feed, *ids, *bound])


def select_deliveries(
    cursor: SnowflakeCursor, database: str, where: str, bound: Sequence[Any]
) -> Iterator[DeliveryRow]:
    """The deliveries, as they are now, that `where` admits, with what follows it."""
    cursor.execute(f"SELECT {_DELIVERY} FROM {current_deliveries(database).sql} WHERE {where}", list(bound))
    names = [field.name for field in fields(DeliveryRow)]
    for row in cursor.fetchall():
        values = dict(zip(names, row, strict=True))
        for name in ("size_bytes", "rows_read", "rows_loaded", "rows_rejected"):
            values[name] = int(values[name])
        yield DeliveryRow(**values)


def _table(database: str) -> Iterator[str]:
    yield create_table(database, "DELIVERIES", _COLUMNS, "Each file that a partner dropped, and what became of it.")
    yield f"ALTER TABLE {rejects(database).sql} ADD COLUMN IF NOT EXISTS DELIVERY_ID VARCHAR"


def _loads_since_landing(database: str) -> Iterator[str]:
    """The loads of deliveries that an earlier release recorded: their data was true when the file landed."""
    table = loads(database).sql
    yield f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS EFFECTIVE_AT TIMESTAMP_TZ(6)"
    yield (
        f"UPDATE {table} SET EFFECTIVE_AT = LANDED.LANDED_AT FROM {deliveries(database).sql} AS LANDED"
        f" WHERE {table}.EXTRACT_ID = LANDED.EXTRACT_ID AND {table}.EFFECTIVE_AT IS NULL"
    )


def _superseded_loads(database: str) -> Iterator[str]:
    table = loads(database).sql
    yield (
        f"UPDATE {table} SET REMOVED_AT = SETTLED.SETTLED_AT FROM {deliveries(database).sql} AS SETTLED"
        f" WHERE {table}.EXTRACT_ID = SETTLED.EXTRACT_ID AND SETTLED.STATUS = 'superseded'"
        f" AND {table}.REMOVED_AT IS NULL"
    )


def _current_deliveries(database: str) -> Iterator[str]:
    comment = "Each file that a partner dropped, with its outcome as it is now."
    latest = latest_sql(deliveries(database), _COLUMNS, ("PARTNER", "FEED", "DELIVERY_ID"), "SETTLED_AT")
    yield create_view(current_deliveries(database), latest, comment)


MIGRATIONS = (
    *platform.MIGRATIONS,
    Migration(2, "deliveries", _table),
    Migration(3, "loads of deliveries are ordered by when the file landed", _loads_since_landing),
    Migration(6, "loads of superseded deliveries were taken out", _superseded_loads),
    Migration(8, "the current state of deliveries", _current_deliveries),
)
"""Every migration of the PLATFORM schema: the warehouse's own, and landing's."""
