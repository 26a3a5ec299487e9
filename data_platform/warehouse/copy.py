"""COPY INTO for an extract's Parquet files.

It selects each column with a cast, `SELECT $1:"column"::TYPE`. MATCH_BY_COLUMN_NAME can't load all types:
- JSON text into VARIANT needs PARSE_JSON, and MATCH_BY_COLUMN_NAME can't be combined with a SELECT
  (https://docs.snowflake.com/en/sql-reference/sql/copy-into-table#copy-options-copyoptions).
- WKB from Parquet goes into GEOMETRY only through a transformation
  (https://docs.snowflake.com/en/sql-reference/data-types-geospatial#loading-geospatial-data-from-stages).
- PARSE_JSON, CAST and TO_* are among the functions that COPY takes
  (https://docs.snowflake.com/en/user-guide/data-load-transform#supported-functions).
`$1` is a VARIANT. It holds a DECIMAL of 38 digits exactly, and a TIME or TIMESTAMP too, with the file format's
USE_LOGICAL_TYPE. A cast to TIMESTAMP_TZ adds the session's offset, so `load.py` sets the statement's time zone to UTC.
A column that a file lacks becomes NULL, so extracts made before a column was added still load.

FORCE is on because Snowflake skips files that it loaded into the table in the last 64 days, and a reload must load them
again. The ledger, written in the same transaction, keeps rows from doubling. A COPY names at most 1,000 files.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from typing import TYPE_CHECKING

from data_platform.contract import Column, quoted
from data_platform.feeds.spec import FeedSpec
from data_platform.lake.manifest import FileEntry, Manifest
from data_platform.warehouse.platform import REJECTS_COLUMNS, file_format, stage
from data_platform.warehouse.table import TableRef, literal

if TYPE_CHECKING:
    from snowflake.connector.cursor import SnowflakeCursor

FILES_A_COPY = 1_000

Execute = Callable[[str], "SnowflakeCursor"]


class RowCountMismatch(Exception):
    """Snowflake loaded a different number of rows than the manifests say. The transaction was rolled back."""


def copy_rows(execute: Execute, table: TableRef, columns: Sequence[Column], manifests: Sequence[Manifest]) -> int:
    """Loads these extracts' files into the table, in the open transaction. Returns the number of rows. Raises
    RowCountMismatch."""
    names = ", ".join(column.snowflake_name for column in columns)
    by_values: dict[str, list[FileEntry]] = {}
    for manifest in manifests:
        there = {entry.name for entry in manifest.columns}
        values = ", ".join(value_sql(column, _name_in(there, column)) for column in columns)
        by_values.setdefault(values, []).extend(manifest.files)
    return sum(_copy(execute, table, names, values, files) for values, files in by_values.items())


def copy_rejects(execute: Execute, table: TableRef, feed: FeedSpec, files: Sequence[FileEntry]) -> int:
    """Loads a feed's rejects files into PLATFORM.REJECTS, in the open transaction. If the feed has personal columns,
    the raw text stays in the lake. Raises RowCountMismatch."""
    columns = REJECTS_COLUMNS | dict.fromkeys((name.upper() for name in feed.reject_columns), "VARCHAR")
    names = ", ".join(quoted(name) for name in columns)
    sources = {name: f'$1:"{name.lower()}"' for name in columns}
    if feed.contract.personal:
        sources["RAW_TEXT"] = "NULL"
    values = ", ".join(f"{source}::{columns[name]}" for name, source in sources.items())
    return _copy(execute, table, names, values, files)


def _name_in(there: Container[str], column: Column) -> str:
    """The column's name in an extract, which may be older than its name in the contract."""
    return next((name for name in (column.name, *column.renamed_from) if name in there), column.name)


def value_sql(column: Column, name_in_file: str | None = None) -> str:
    """The SQL by which COPY selects a column's value from a Parquet file."""
    field = f'$1:"{name_in_file or column.name}"'
    name, args = column.logical
    if name == "json":
        return f"PARSE_JSON({field}::VARCHAR)"
    if name == "geometry":
        return f"TO_GEOMETRY({field}::BINARY, {args[0]})"
    return f"{field}::{column.snowflake_type}"


def _copy(execute: Execute, table: TableRef, names: str, values: str, files: Sequence[FileEntry]) -> int:
    loaded = 0
    for start in range(0, len(files), FILES_A_COPY):
        chunk = files[start : start + FILES_A_COPY]
        listed = ", ".join(literal(file.path) for file in chunk)
        cursor = execute(
            f"COPY INTO {table.sql} ({names}) FROM (SELECT {values} FROM @{stage(table.database)})"
            f" FILES = ({listed}) FILE_FORMAT = (FORMAT_NAME = {literal(str(file_format(table.database)))})"
            " ON_ERROR = ABORT_STATEMENT FORCE = TRUE"
        )
        place = [column.name.lower() for column in cursor.description].index("rows_loaded")
        loaded += sum(int(row[place]) for row in cursor.fetchall())
    expected = sum(file.rows for file in files)
    if loaded != expected:
        raise RowCountMismatch(
            f"{table}: Snowflake loaded {loaded} rows of {len(files)} files whose manifests say {expected}; the load"
            " was rolled back. Compare the files with their manifest (size, SHA-256), then load again"
        )
    return loaded
