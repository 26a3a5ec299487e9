"""What Snowflake knows of any table or view: its columns' types and its rows. Reading only; a table's changes are in
`schema.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection


def read_column_types(connection: SnowflakeConnection, relation: str) -> dict[str, str]:
    """The columns of a table or view (its name as SQL), in order, with their types: both in lower case."""
    with connection.cursor() as cursor:
        cursor.execute(f"DESCRIBE TABLE {relation}")
        return {str(row[0]).lower(): str(row[1]).lower() for row in cursor.fetchall()}


def count_rows(connection: SnowflakeConnection, relation: str) -> int:
    """A table's rows. Snowflake answers from metadata, whatever the table's size."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT COUNT(*) FROM {relation}")
        ((rows,),) = cursor.fetchall()
    return int(rows)
