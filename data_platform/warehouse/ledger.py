"""The ledger of loads: what has been loaded, and the writes within a load's transaction."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from data_platform.feeds.spec import FeedSpec
from data_platform.warehouse.platform import LOADS_COLUMNS, loads
from data_platform.warehouse.rows import delete_rows, insert_rows, placeholders

if TYPE_CHECKING:
    from snowflake.connector.cursor import SnowflakeCursor


class LoadRow(NamedTuple):
    """A row of PLATFORM.LOADS. `position` is a JSON value. `sequence` orders a feed's loads; a reload keeps it.
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
        f"SELECT EXTRACT_ID, COALESCE(SEQUENCE, 0) FROM {loads(database).sql}"
        f" WHERE EXTRACT_ID IN ({placeholders(extract_ids)})",
        list(extract_ids),
    )
    return {extract_id: int(sequence) for extract_id, sequence in cursor.fetchall()}


def last_load(cursor: SnowflakeCursor, database: str, feed: FeedSpec) -> tuple[int, datetime | None]:
    """(the last sequence, the latest effective time) of a feed's loads; (0, None) if it has none."""
    cursor.execute(
        f"SELECT COALESCE(MAX(SEQUENCE), 0), MAX(EFFECTIVE_AT) FROM {loads(database).sql}"
        " WHERE SOURCE = %s AND TABLE_NAME = %s",
        [feed.source, feed.table],
    )
    ((sequence, effective_at),) = cursor.fetchall()
    return int(sequence), effective_at


def mark_removed(cursor: SnowflakeCursor, database: str, extract_ids: Collection[str], now: datetime) -> None:
    """Records that the rows of these extracts were taken out of their table, in the caller's transaction."""
    if extract_ids:  # an UPDATE makes other loads wait, even if it finds nothing
        cursor.execute(
            f"UPDATE {loads(database).sql} SET REMOVED_AT = %s::TIMESTAMP_TZ"
            f" WHERE EXTRACT_ID IN ({placeholders(list(extract_ids))})",
            [now.isoformat(), *extract_ids],
        )


def extracts_in_table(cursor: SnowflakeCursor, database: str, feed: FeedSpec) -> dict[str, str | None]:
    """{extract id: partition} of a feed's extracts whose rows are in its table, unless later ones have overwritten
    them."""
    cursor.execute(
        f"SELECT EXTRACT_ID, PARTITION_KEY FROM {loads(database).sql}"
        " WHERE SOURCE = %s AND TABLE_NAME = %s AND REMOVED_AT IS NULL",
        [feed.source, feed.table],
    )
    return dict(cursor.fetchall())


def last_position(cursor: SnowflakeCursor, database: str, feed: FeedSpec) -> Any:
    """The position of a feed's last load: where in its source the next extract begins. None if it has none."""
    cursor.execute(
        f"SELECT POSITION FROM {loads(database).sql} WHERE SOURCE = %s AND TABLE_NAME = %s"
        " ORDER BY SEQUENCE DESC LIMIT 1",
        [feed.source, feed.table],
    )
    found = cursor.fetchall()
    return json.loads(found[0][0]) if found and found[0][0] is not None else None


def write_loads(cursor: SnowflakeCursor, database: str, rows: Sequence[LoadRow], *, again: Collection[str]) -> None:
    """Records loads, in the caller's transaction. Replaces the rows of the extract ids in `again`."""
    table = loads(database)
    delete_rows(cursor.execute, table, "EXTRACT_ID", again)
    insert_rows(cursor, table, LOADS_COLUMNS, rows)
