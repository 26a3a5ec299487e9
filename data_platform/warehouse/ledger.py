"""The ledger of loads: what has been loaded, and the writes within a load's transaction. Records are only added;
`rows.py` says why."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from data_platform.contract import quoted
from data_platform.feeds.spec import FeedSpec
from data_platform.warehouse.platform import LOADS_COLUMNS, current_loads, loads, rejects, table_rows
from data_platform.warehouse.rows import insert_rows, placeholders, time_of_record
from data_platform.warehouse.table import TableRef, literal

if TYPE_CHECKING:
    from snowflake.connector.cursor import SnowflakeCursor


class LoadRow(NamedTuple):
    """A record of PLATFORM.LOADS. `position` is a JSON value. `sequence` orders a feed's loads; a reload keeps it.
    `effective_at`: when the data was true in its source."""

    extract_id: str
    source: str
    table_name: str
    partition: str | None
    load_mode: str
    rows_loaded: int
    files: int
    bytes: int
    position: Any
    contract_hash: str
    run_id: str | None
    loaded_at: datetime
    sequence: int
    effective_at: datetime
    snapshot_id: str | None = None
    removed_at: datetime | None = None


def loaded_extracts(cursor: SnowflakeCursor, database: str, extract_ids: Sequence[str]) -> dict[str, int]:
    """{extract id: sequence} of those extracts that have been loaded; 0 where a run of a release before migration 4
    recorded the load after the migration."""
    if not extract_ids:
        return {}
    cursor.execute(
        f"SELECT EXTRACT_ID, COALESCE(MAX(SEQUENCE), 0) FROM {loads(database).sql}"
        f" WHERE EXTRACT_ID IN ({placeholders(extract_ids)}) GROUP BY EXTRACT_ID",
        list(extract_ids),
    )
    return {extract_id: int(sequence) for extract_id, sequence in cursor.fetchall()}


class LastLoads(NamedTuple):
    """The last sequence, effective time and time of a record of a feed's loads; 0 and None if it has none."""

    sequence: int
    effective_at: datetime | None
    recorded_at: datetime | None


def last_loads(cursor: SnowflakeCursor, database: str, feed: FeedSpec) -> LastLoads:
    """How far a feed's loads have come."""
    cursor.execute(
        "SELECT COALESCE(MAX(SEQUENCE), 0), MAX(EFFECTIVE_AT), MAX(COALESCE(REMOVED_AT, LOADED_AT))"
        f" FROM {loads(database).sql} WHERE SOURCE = %s AND TABLE_NAME = %s",
        [feed.source, feed.table],
    )
    ((sequence, effective_at, recorded_at),) = cursor.fetchall()
    return LastLoads(int(sequence), effective_at, recorded_at)


class LedgerLost(Exception):
    """A feed's table has rows, and the ledger no load of them. The message says what to do."""


def refuse_lost(cursor: SnowflakeCursor, table: TableRef, feed: FeedSpec) -> None:
    """Raises LedgerLost if the table has rows, and the ledger no load of the feed. Such rows would be loaded once
    more, and nothing would ever replace them."""
    cursor.execute(
        f"SELECT 1 FROM {table.sql} WHERE NOT EXISTS (SELECT 1 FROM {loads(table.database).sql}"
        " WHERE SOURCE = %s AND TABLE_NAME = %s) LIMIT 1",
        [feed.source, feed.table],
    )
    if cursor.fetchall():
        raise LedgerLost(
            f"{feed.name}: {table} has rows, and the ledger no load of them: the ledger was lost. Nothing is loaded."
            " Stop Dagster's daemon and run `data-platform ledger rebuild`; it also says what to do if the lake is lost"
        )


def record_removed(
    cursor: SnowflakeCursor, database: str, feed: FeedSpec, extract_ids: Collection[str], now: datetime
) -> None:
    """Records that the rows of these extracts were taken out of the table, in the caller's transaction."""
    if not extract_ids:
        return
    columns = [quoted(name) for name in LOADS_COLUMNS]
    values = ["%s::TIMESTAMP_TZ" if name == "REMOVED_AT" else quoted(name) for name in LOADS_COLUMNS]
    listed = sorted(extract_ids)
    cursor.execute(
        f"INSERT INTO {loads(database).sql} ({', '.join(columns)}) SELECT {', '.join(values)}"
        f" FROM {loads_of(database, feed)} WHERE EXTRACT_ID IN ({placeholders(listed)})",
        [now.isoformat(), *listed],
    )


def record_table_removed(cursor: SnowflakeCursor, database: str, source: str, table: str) -> None:
    """Records that the rows of all the feed's extracts were taken out, in the caller's transaction, and deletes its
    rejects. The last position is forgotten: a table of that name that is loaded later begins anew."""
    of_feed = "SOURCE = %s AND TABLE_NAME = %s"
    cursor.execute(
        f"SELECT MAX(COALESCE(REMOVED_AT, LOADED_AT)) FROM {loads(database).sql} WHERE {of_feed}", [source, table]
    )
    ((last,),) = cursor.fetchall()
    now = time_of_record([last])
    values = {"REMOVED_AT": "%s::TIMESTAMP_TZ", "POSITION": "NULL"}
    columns = ", ".join(quoted(name) for name in LOADS_COLUMNS)
    selected = ", ".join(values.get(name, quoted(name)) for name in LOADS_COLUMNS)
    cursor.execute(
        f"INSERT INTO {loads(database).sql} ({columns}) SELECT {selected} FROM {current_loads(database).sql}"
        f" WHERE {of_feed} AND REMOVED_AT IS NULL",
        [now.isoformat(), source, table],
    )
    for of in (rejects(database), table_rows(database)):
        cursor.execute(f"DELETE FROM {of.sql} WHERE {of_feed}", [source, table])


def loads_of(database: str, feed: FeedSpec) -> str:
    """SQL of the current records of a feed's loads, for a FROM clause."""
    of_feed = f"SOURCE = {literal(feed.source)} AND TABLE_NAME = {literal(feed.table)}"
    return f"(SELECT * FROM {current_loads(database).sql} WHERE {of_feed})"


class InTable(NamedTuple):
    """An extract whose rows are in its table. `effective_at`: None if an earlier release recorded the load after the
    migration that added it."""

    partition: str | None
    effective_at: datetime | None
    load_mode: str


def extracts_in_table(cursor: SnowflakeCursor, database: str, feed: FeedSpec) -> dict[str, InTable]:
    """By id, a feed's extracts whose rows are in its table, unless later ones have overwritten them."""
    cursor.execute(
        f"SELECT EXTRACT_ID, PARTITION_KEY, EFFECTIVE_AT, LOAD_MODE FROM {loads_of(database, feed)}"
        " WHERE REMOVED_AT IS NULL"
    )
    return {extract_id: InTable(*found) for extract_id, *found in cursor.fetchall()}


def in_a_table(cursor: SnowflakeCursor, database: str, extract_ids: Sequence[str]) -> set[str]:
    """Those of the extracts whose rows are in a table."""
    if not extract_ids:
        return set()
    cursor.execute(
        f"SELECT EXTRACT_ID FROM {current_loads(database).sql} WHERE REMOVED_AT IS NULL"
        f" AND EXTRACT_ID IN ({placeholders(extract_ids)})",
        list(extract_ids),
    )
    return {extract_id for (extract_id,) in cursor.fetchall()}


def delete_rejects(cursor: SnowflakeCursor, database: str, before: datetime) -> int:
    """Deletes the rejects of extracts that were loaded before then, and not again since. Returns their number."""
    cursor.execute(
        f"DELETE FROM {rejects(database).sql} WHERE EXTRACT_ID IN (SELECT EXTRACT_ID FROM {loads(database).sql}"
        " GROUP BY EXTRACT_ID HAVING MAX(LOADED_AT) < %s::TIMESTAMP_TZ)",
        [before.isoformat()],
    )
    return cursor.rowcount or 0


class LoadSums(NamedTuple):
    """A feed's loads. `replaced`: the extracts whose rows were taken out of the table, and `rows_replaced` these rows;
    `rows_loaded` and `rows_rejected` are of the others."""

    extracts: int
    replaced: int
    rows_replaced: int
    rows_loaded: int
    rows_rejected: int


def accounting(cursor: SnowflakeCursor, database: str) -> dict[str, LoadSums]:
    """The sums over every feed's loads, by the feed's name."""
    cursor.execute(
        "SELECT SOURCE, TABLE_NAME, COUNT(*), COUNT(REMOVED_AT), SUM(IFF(REMOVED_AT IS NULL, 0, ROWS_LOADED)),"
        " SUM(IFF(REMOVED_AT IS NULL, ROWS_LOADED, 0)), SUM(IFF(REMOVED_AT IS NULL, COALESCE(REJECTED, 0), 0))"
        f" FROM {current_loads(database).sql} LEFT JOIN (SELECT EXTRACT_ID AS REJECTED_OF, COUNT(*) AS REJECTED"
        f" FROM {rejects(database).sql} GROUP BY EXTRACT_ID) ON EXTRACT_ID = REJECTED_OF GROUP BY SOURCE, TABLE_NAME"
    )
    return {f"{source}/{table}": LoadSums(*map(int, sums)) for source, table, *sums in cursor.fetchall()}


def last_position(cursor: SnowflakeCursor, database: str, feed: FeedSpec) -> Any:
    """The position of a feed's last load: where in its source the next extract begins. None if it has none."""
    cursor.execute(
        f"SELECT POSITION FROM {loads(database).sql} WHERE SOURCE = %s AND TABLE_NAME = %s"
        " ORDER BY SEQUENCE DESC NULLS LAST, COALESCE(REMOVED_AT, LOADED_AT) DESC LIMIT 1",
        [feed.source, feed.table],
    )
    found = cursor.fetchall()
    return json.loads(found[0][0]) if found and found[0][0] is not None else None


def write_loads(cursor: SnowflakeCursor, database: str, rows: Sequence[LoadRow]) -> None:
    """Records loads, in the caller's transaction."""
    insert_rows(cursor, loads(database), LOADS_COLUMNS, rows)
