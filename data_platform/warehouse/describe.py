"""Reads a table's or view's column types and row count from Snowflake. `schema.py` changes tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from data_platform.warehouse.table import DOES_NOT_EXIST, TableRef

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection


def read_column_types(connection: SnowflakeConnection, relation: str) -> dict[str, str]:
    """{column: type} of a table or view, in order and in lower case. `relation` is its name as SQL."""
    with connection.cursor() as cursor:
        cursor.execute(f"DESCRIBE TABLE {relation}")
        return {str(row[0]).lower(): str(row[1]).lower() for row in cursor.fetchall()}


def count_rows(connection: SnowflakeConnection, relation: str) -> int:
    """The number of a table's rows, which Snowflake reads from metadata, whatever the table's size."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT COUNT(*) FROM {relation}")
        ((rows,),) = cursor.fetchall()
    return int(rows)


def rows_of(connection: SnowflakeConnection, table: TableRef) -> int:
    """The number of a table's rows; 0 if somebody dropped it."""
    from snowflake.connector import ProgrammingError

    try:
        return count_rows(connection, table.sql)
    except ProgrammingError as refused:
        if refused.errno in DOES_NOT_EXIST:
            return 0
        raise
