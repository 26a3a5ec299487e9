"""The PLATFORM schema: its tables, stage and file format. `ledger.py` reads and writes the rows.

Loads of one feed take turns: the first statement of a load's transaction updates a lock table, and Snowflake
makes the next load wait, as UPDATE locks its table until the transaction ends
(https://docs.snowflake.com/en/sql-reference/transactions#resource-locking). A hash of the feed's name picks one of the
eight lock tables, so that loads of different feeds rarely wait for each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from data_platform.contract import quoted
from data_platform.warehouse.table import PLATFORM, TableRef, literal

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

LOCKS = 8

LOADS_COLUMNS = {
    "EXTRACT_ID": "VARCHAR",
    "SOURCE": "VARCHAR",
    "TABLE_NAME": "VARCHAR",
    "PARTITION_KEY": "VARCHAR",
    "LOAD_MODE": "VARCHAR",
    "ROWS_LOADED": "NUMBER(19,0)",
    "FILES": "NUMBER(10,0)",
    "BYTES": "NUMBER(19,0)",
    "POSITION": "VARIANT",
    "CONTRACT_HASH": "VARCHAR",
    "RUN_ID": "VARCHAR",
    "LOADED_AT": "TIMESTAMP_TZ(6)",
}
REJECTS_COLUMNS = {
    "EXTRACT_ID": "VARCHAR",
    "DELIVERY_ID": "VARCHAR",
    "SOURCE": "VARCHAR",
    "TABLE_NAME": "VARCHAR",
    "RECORD_NUMBER": "NUMBER(19,0)",
    "COLUMN_NAME": "VARCHAR",
    "REASON": "VARCHAR",
    "RAW_TEXT": "VARCHAR",
}


class Ledger(NamedTuple):
    """A table of the PLATFORM schema: {column: type}, and a comment."""

    columns: Mapping[str, str]
    comment: str


_TABLES = {
    "LOADS": Ledger(LOADS_COLUMNS, "Each extract whose rows have been loaded, with its position in its source."),
    "REJECTS": Ledger(REJECTS_COLUMNS, "Each record that broke its contract."),
}


def loads(database: str) -> TableRef:
    """PLATFORM.LOADS."""
    return TableRef(database, PLATFORM, "LOADS")


def rejects(database: str) -> TableRef:
    """PLATFORM.REJECTS."""
    return TableRef(database, PLATFORM, "REJECTS")


def stage(database: str) -> TableRef:
    """The external stage over the lake's bucket."""
    return TableRef(database, PLATFORM, "LAKE")


def file_format(database: str) -> TableRef:
    """The file format of the lake's Parquet files."""
    return TableRef(database, PLATFORM, "PARQUET")


def load_lock(database: str, source: str, table: str) -> TableRef:
    """A feed's lock table."""
    number = int.from_bytes(sha256(f"{source}/{table}".encode()).digest()[:4]) % LOCKS
    return TableRef(database, PLATFORM, f"LOAD_LOCK_{number:02}")


def ensure_platform(
    connection: SnowflakeConnection,
    database: str,
    lake_bucket: str,
    *,
    ledgers: Mapping[str, Ledger] = MappingProxyType({}),
    storage_integration: str | None = None,
) -> None:
    """Creates the schema, its tables, the stage and the file format if they are missing. `ledgers`: the tables in which
    sources keep their own accounts, by name.

    May run at any time and any number of times, but not within a transaction (DDL commits). `storage_integration`
    names the integration by which Snowflake signs in to S3; None if the bucket needs no sign-in (local cloud).
    """
    schema = f"{quoted(database)}.{quoted(PLATFORM)}"
    integration = f" STORAGE_INTEGRATION = {quoted(storage_integration)}" if storage_integration else ""
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
        cursor.execute(
            f"SELECT TABLE_NAME FROM {quoted(database)}.INFORMATION_SCHEMA.TABLES WHERE TABLE_SCHEMA = %s",
            [PLATFORM],
        )
        there = {name for (name,) in cursor.fetchall()}
        for statement in (sql for name, sql in _tables(database, ledgers).items() if name not in there):
            cursor.execute(statement)
        # BINARY_AS_TEXT off: bytes stay bytes. USE_LOGICAL_TYPE on: otherwise Snowflake reads Parquet's times as
        # numbers. NULL_IF empty: by default Snowflake reads the text `\N` as NULL
        # (https://docs.snowflake.com/en/sql-reference/sql/create-file-format).
        cursor.execute(
            f"CREATE FILE FORMAT IF NOT EXISTS {file_format(database).sql} TYPE = PARQUET"
            " USE_LOGICAL_TYPE = TRUE BINARY_AS_TEXT = FALSE USE_VECTORIZED_SCANNER = TRUE NULL_IF = ()"
        )
        url = literal(f"s3://{lake_bucket}/")
        cursor.execute(f"CREATE STAGE IF NOT EXISTS {stage(database).sql} URL = {url}{integration}")


def _tables(database: str, ledgers: Mapping[str, Ledger]) -> dict[str, str]:
    """{table name: the statement that creates it}."""
    made = {}
    for name, (columns, comment) in (_TABLES | dict(ledgers)).items():
        body = ", ".join(f"{quoted(column)} {kind}" for column, kind in columns.items())
        table = TableRef(database, PLATFORM, name).sql
        made[name] = f"CREATE TABLE IF NOT EXISTS {table} ({body}) COMMENT = {literal(comment)}"
    for name in (f"LOAD_LOCK_{number:02}" for number in range(LOCKS)):
        # One statement creates the table and its row: an UPDATE that finds no row might lock nothing.
        table = TableRef(database, PLATFORM, name).sql
        made[name] = f"CREATE TABLE IF NOT EXISTS {table} AS SELECT 'nobody'::VARCHAR AS HOLDER"
    return made
