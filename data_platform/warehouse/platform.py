"""The PLATFORM schema: its tables, stage and file format. `ledger.py` reads and writes the rows.

Loads of one feed take turns: the first statement of a load's transaction updates a lock table, and Snowflake
makes the next load wait, as UPDATE locks its table until the transaction ends
(https://docs.snowflake.com/en/sql-reference/transactions#resource-locking). A hash of the feed's name picks one of the
eight lock tables, so that loads of different feeds rarely wait for each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from typing import TYPE_CHECKING

from data_platform.contract import quoted
from data_platform.warehouse.migrations import Migration, migrate
from data_platform.warehouse.rows import latest_sql
from data_platform.warehouse.table import PLATFORM, TableRef, literal

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

LOCKS = 8

_FIRST_LOADS_COLUMNS = {
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
# The order of a feed's loads; when the data of each was true in its source; and the snapshot that it is a part of.
_ORDER = {"SEQUENCE": "NUMBER(19,0)", "EFFECTIVE_AT": "TIMESTAMP_TZ(6)", "SNAPSHOT_ID": "VARCHAR"}
_REMOVED = {"REMOVED_AT": "TIMESTAMP_TZ(6)"}
LOADS_COLUMNS = _FIRST_LOADS_COLUMNS | _ORDER | _REMOVED
PUBLICATIONS_COLUMNS = {
    "DATASET": "VARCHAR",
    "OUTCOME": "VARCHAR",
    "VERSION": "VARCHAR",
    "FINGERPRINT": "VARCHAR",
    "ROWS_PUBLISHED": "NUMBER(19,0)",
    "ROWS_BEFORE": "NUMBER(19,0)",
    "SOURCE": "VARCHAR",
    "QUERY_ID": "VARCHAR",
    "RUN_ID": "VARCHAR",
    "URL": "VARCHAR",
    "PUBLISHED_AT": "TIMESTAMP_TZ(6)",
    "RECORDED_AT": "TIMESTAMP_TZ(6)",
}
REJECTS_COLUMNS = {
    "EXTRACT_ID": "VARCHAR",
    "SOURCE": "VARCHAR",
    "TABLE_NAME": "VARCHAR",
    "RECORD_NUMBER": "NUMBER(19,0)",
    "COLUMN_NAME": "VARCHAR",
    "REASON": "VARCHAR",
    "RAW_TEXT": "VARCHAR",
}

GEOCODED_COLUMNS = {
    "PROVIDER": "VARCHAR",
    "ADDRESS": "VARCHAR",
    "STATUS": "VARCHAR",
    "REASON": "VARCHAR",
    "MATCHED_ADDRESS": "VARCHAR",
    "LATITUDE": "NUMBER(9,6)",
    "LONGITUDE": "NUMBER(9,6)",
    "PRECISION": "VARCHAR",
    "ASKED_AT": "TIMESTAMP_TZ(6)",
    "RUN_ID": "VARCHAR",
}
GEOCODING_COLUMNS = {
    "PROVIDER": "VARCHAR",
    "ADDRESSES": "NUMBER(19,0)",
    "ASKED_AT": "TIMESTAMP_TZ(6)",
    "RUN_ID": "VARCHAR",
}


def loads(database: str) -> TableRef:
    """PLATFORM.LOADS: a record each time that an extract is loaded, and when its rows are taken out."""
    return TableRef(database, PLATFORM, "LOADS")


def current_loads(database: str) -> TableRef:
    """PLATFORM.CURRENT_LOADS: the latest record of each load."""
    return TableRef(database, PLATFORM, "CURRENT_LOADS")


def rejects(database: str) -> TableRef:
    """PLATFORM.REJECTS."""
    return TableRef(database, PLATFORM, "REJECTS")


def retired_feeds(database: str) -> TableRef:
    """PLATFORM.RETIRED_FEEDS: feeds that were renamed (`BECAME`: to what) or removed."""
    return TableRef(database, PLATFORM, "RETIRED_FEEDS")


def table_rows(database: str) -> TableRef:
    """PLATFORM.TABLE_ROWS: how many rows a merged table is to have after each load."""
    return TableRef(database, PLATFORM, "TABLE_ROWS")


def geocoded(database: str) -> TableRef:
    """PLATFORM.GEOCODED_ADDRESSES: the answers of geocoding services."""
    return TableRef(database, PLATFORM, "GEOCODED_ADDRESSES")


def geocoding(database: str) -> TableRef:
    """PLATFORM.GEOCODING: for how many addresses services were asked, recorded before they are."""
    return TableRef(database, PLATFORM, "GEOCODING")


def publications(database: str) -> TableRef:
    """PLATFORM.PUBLICATIONS: a record each time that a dataset is published, or rolled back."""
    return TableRef(database, PLATFORM, "PUBLICATIONS")


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
    migrations: Iterable[Migration],
    storage_integration: str | None = None,
) -> list[Migration]:
    """Runs the migrations that the PLATFORM schema lacks, and returns them; makes the file format and the stage as this
    release needs them.

    May run at any time and any number of times, but not within a transaction (DDL commits). `migrations`: MIGRATIONS,
    and those of packages that keep accounts of their own. `storage_integration` names the integration by which
    Snowflake signs in to S3; the local cloud has none. Raises DatabaseNewer.
    """
    due = migrate(connection, database, migrations)
    with connection.cursor() as cursor:
        # BINARY_AS_TEXT off: bytes stay bytes. USE_LOGICAL_TYPE on: otherwise Snowflake reads Parquet's times as
        # numbers. NULL_IF empty: by default Snowflake reads the text `\N` as NULL
        # (https://docs.snowflake.com/en/sql-reference/sql/create-file-format).
        cursor.execute(
            f"CREATE OR REPLACE FILE FORMAT {file_format(database).sql} TYPE = PARQUET"
            " USE_LOGICAL_TYPE = TRUE BINARY_AS_TEXT = FALSE USE_VECTORIZED_SCANNER = TRUE NULL_IF = ()"
        )
    _make_stage(connection, stage(database), f"s3://{lake_bucket}/", storage_integration)
    return due


def _make_stage(connection: SnowflakeConnection, wanted: TableRef, url: str, storage_integration: str | None) -> None:
    # Importing the connector takes almost a second; processes that only load definitions don't need it.
    from snowflake.connector import DictCursor

    with connection.cursor(DictCursor) as cursor:
        cursor.execute(f"SHOW STAGES IN SCHEMA {quoted(wanted.database)}.{quoted(wanted.schema)}")
        found = {str(row["name"]): (row["url"], row["storage_integration"]) for row in cursor.fetchall()}
        there = found.get(wanted.table)
        integration = storage_integration.upper() if storage_integration else None
        by = f" STORAGE_INTEGRATION = {quoted(integration)}" if integration else ""
        if there is None or (there != (url, integration) and not integration):
            cursor.execute(f"CREATE OR REPLACE STAGE {wanted.sql} URL = {literal(url)}{by}")
        elif there != (url, integration):  # keeps who may use the stage
            cursor.execute(f"ALTER STAGE {wanted.sql} SET URL = {literal(url)}{by}")


def create_table(database: str, name: str, columns: Mapping[str, str], comment: str) -> str:
    """The statement that creates a table of PLATFORM if it is missing."""
    body = ", ".join(f"{quoted(column)} {kind}" for column, kind in columns.items())
    return f"CREATE TABLE IF NOT EXISTS {TableRef(database, PLATFORM, name).sql} ({body}) COMMENT = {literal(comment)}"


def create_view(view: TableRef, select: str, comment: str) -> str:
    """The statement that creates a view of PLATFORM, or replaces that of an earlier release."""
    return f"CREATE OR REPLACE VIEW {view.sql} COMMENT = {literal(comment)} AS {select}"


def _first_tables(database: str) -> Iterator[str]:
    comment = "Each extract whose rows have been loaded, with its position in its source."
    yield create_table(database, "LOADS", _FIRST_LOADS_COLUMNS, comment)
    yield create_table(database, "REJECTS", REJECTS_COLUMNS, "Each record that broke its contract.")
    for number in range(LOCKS):
        # One statement creates the table and its row: an UPDATE that finds no row might lock nothing.
        table = TableRef(database, PLATFORM, f"LOAD_LOCK_{number:02}").sql
        yield f"CREATE TABLE IF NOT EXISTS {table} AS SELECT 'nobody'::VARCHAR AS HOLDER"


def _loads_in_order(database: str) -> Iterator[str]:
    table = loads(database).sql
    yield from _add_columns(table, _ORDER)
    yield (
        f"UPDATE {table} SET SEQUENCE = NUMBERED.PLACE, EFFECTIVE_AT = COALESCE({table}.EFFECTIVE_AT,"
        f" {table}.LOADED_AT) FROM (SELECT EXTRACT_ID, ROW_NUMBER() OVER (PARTITION BY SOURCE, TABLE_NAME"
        f" ORDER BY LOADED_AT, EXTRACT_ID) AS PLACE FROM {table}) AS NUMBERED"
        f" WHERE {table}.EXTRACT_ID = NUMBERED.EXTRACT_ID AND {table}.SEQUENCE IS NULL"
    )


def _loads_taken_out(database: str) -> Iterator[str]:
    yield from _add_columns(loads(database).sql, _REMOVED)


def _current_loads(database: str) -> Iterator[str]:
    ids, recorded_at = ("SOURCE", "TABLE_NAME", "EXTRACT_ID"), "COALESCE(REMOVED_AT, LOADED_AT)"
    latest = latest_sql(loads(database), LOADS_COLUMNS, ids, recorded_at)
    yield create_view(current_loads(database), latest, "Each extract that has been loaded, as it is now.")


def _retired(database: str) -> Iterator[str]:
    columns = {"SOURCE": "VARCHAR", "TABLE_NAME": "VARCHAR", "BECAME": "VARCHAR"}
    yield create_table(database, "RETIRED_FEEDS", columns, "Feeds that were renamed or removed.")


def _table_rows(database: str) -> Iterator[str]:
    columns = {"SOURCE": "VARCHAR", "TABLE_NAME": "VARCHAR"}
    columns |= {"TABLE_ROWS": "NUMBER(19,0)", "RECORDED_AT": "TIMESTAMP_TZ(6)"}
    yield create_table(database, "TABLE_ROWS", columns, "How many rows a merged table is to have after each load.")


def _geocoded(database: str) -> Iterator[str]:
    comment = "Each answer of a geocoding service for an address. The latest one counts until it expires."
    yield create_table(database, "GEOCODED_ADDRESSES", GEOCODED_COLUMNS, comment)


def _publications(database: str) -> Iterator[str]:
    yield create_table(database, "PUBLICATIONS", PUBLICATIONS_COLUMNS, "Each version of a dataset that was published.")


def _geocoding(database: str) -> Iterator[str]:
    comment = "For how many addresses a geocoding service was asked; negative: so many of them were not sent after all."
    yield create_table(database, "GEOCODING", GEOCODING_COLUMNS, comment)


def _add_columns(table: str, columns: Mapping[str, str]) -> Iterator[str]:
    return (f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS {quoted(name)} {kind}" for name, kind in columns.items())


MIGRATIONS = (
    Migration(1, "loads, rejects and locks", _first_tables),
    Migration(4, "loads have an order", _loads_in_order),
    Migration(5, "loads whose rows were taken out", _loads_taken_out),
    Migration(7, "the current state of loads", _current_loads),
    Migration(9, "feeds that were renamed or removed", _retired),
    Migration(10, "the rows of merged tables", _table_rows),
    Migration(11, "answers of geocoding services", _geocoded),
    Migration(12, "publications", _publications),
    Migration(13, "how often geocoding services were asked", _geocoding),
)
"""The warehouse's own. Sources with accounts of their own add theirs."""
