"""A few rows of a table as Markdown, for people to look at in the UI."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from data_platform.warehouse.table import TableRef

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

_CELL = 60


def preview(connection: SnowflakeConnection, table: TableRef, *, limit: int) -> str:
    """A Markdown table of the rows of the latest extracts, at most `limit`."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {table.sql} ORDER BY _EXTRACTED_AT DESC LIMIT {int(limit)}")
        names = [column.name.lower() for column in cursor.description]
        rows = cursor.fetchall()
    lines = [names, ["---"] * len(names), *([_cell(value) for value in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = value.hex() if isinstance(value, bytes | bytearray) else str(value)
    text = text.replace("|", "\\|").replace("\n", " ")
    return text if len(text) <= _CELL else text[:_CELL] + "…"
