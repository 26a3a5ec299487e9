"""The ledger of loads: what has been loaded, and the writes within a load's transaction."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from data_platform.warehouse.platform import LOADS_COLUMNS, loads
from data_platform.warehouse.rows import delete_rows, insert_rows, placeholders

if TYPE_CHECKING:
    from snowflake.connector.cursor import SnowflakeCursor


class LoadRow(NamedTuple):
    """A row of PLATFORM.LOADS. `position` is a JSON value."""

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


def loaded_extracts(cursor: SnowflakeCursor, database: str, extract_ids: Sequence[str]) -> dict[str, int]:
    """{extract id: number of rows} of those extracts that have been loaded."""
    if not extract_ids:
        return {}
    cursor.execute(
        f"SELECT EXTRACT_ID, ROWS_LOADED FROM {loads(database).sql} WHERE EXTRACT_ID IN ({placeholders(extract_ids)})",
        list(extract_ids),
    )
    return {extract_id: int(rows) for extract_id, rows in cursor.fetchall()}


def write_loads(cursor: SnowflakeCursor, database: str, rows: Sequence[LoadRow], *, again: Collection[str]) -> None:
    """Records loads, in the caller's transaction. Replaces the rows of the extract ids in `again`."""
    table = loads(database)
    delete_rows(cursor.execute, table, "EXTRACT_ID", again)
    insert_rows(cursor, table, LOADS_COLUMNS, rows)
