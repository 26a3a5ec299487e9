"""Load mode `merge`: a temporary table for new rows, and the MERGE by the contract's key. `load.py` copies the rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from data_platform.contract import EXTRACT_ID, Column, quoted
from data_platform.feeds.files import RECORD_NUMBER
from data_platform.warehouse.copy import Execute
from data_platform.warehouse.platform import deliveries
from data_platform.warehouse.table import TableRef, literal

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection


def loading_table(connection: SnowflakeConnection, table: TableRef, columns: Sequence[Column]) -> TableRef:
    """Creates the session's temporary table for rows that will be merged into `table`. Call it before the transaction:
    DDL commits."""
    staging = TableRef(table.database, table.schema, f"{table.table}__LOADING")
    body = ", ".join(f"{column.snowflake_name} {column.snowflake_type}" for column in columns)
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE OR REPLACE TEMPORARY TABLE {staging.sql} ({body})")
    return staging


def merge_rows(
    execute: Execute,
    table: TableRef,
    staging: TableRef,
    columns: Sequence[Column],
    key: Sequence[str],
    extract_ids: Sequence[str],
    landed: Mapping[str, datetime],
) -> None:
    """Merges the staged rows, in the open transaction. Of several rows with the same key, the one of the last extract
    in `extract_ids` wins, and within it the last record: MERGE would refuse two
    (https://docs.snowflake.com/en/sql-reference/sql/merge#duplicate-join-behavior).

    Keeps a row in the table whose delivery landed after the new row's, so that a retry or reload of an old file doesn't
    bring back values that a later file replaced. `landed` says when the new extracts' deliveries landed; it is empty if
    the ledger has no later ones."""
    if not extract_ids:
        return
    names = [column.snowflake_name for column in columns]
    keys = [quoted(name) for name in key]
    ranks = " ".join(f"WHEN {literal(each)} THEN {rank}" for rank, each in enumerate(extract_ids))
    order = [f"CASE {quoted(EXTRACT_ID)} {ranks} END DESC"]
    if quoted(RECORD_NUMBER) in names:
        order.append(f"{quoted(RECORD_NUMBER)} DESC")
    source = (
        f"SELECT {', '.join(names)} FROM {staging.sql}"
        f" QUALIFY ROW_NUMBER() OVER (PARTITION BY {', '.join(keys)} ORDER BY {', '.join(order)}) = 1"
    )
    if landed:
        times = " ".join(
            f"WHEN {literal(each)} THEN {literal(at.isoformat())}::TIMESTAMP_TZ" for each, at in landed.items()
        )
        source = (
            f"SELECT {', '.join(f'STAGED.{name}' for name in names)} FROM ({source}) AS STAGED"
            f" LEFT JOIN (SELECT {', '.join(f'OLD.{name}' for name in keys)}, LEDGER.LANDED_AT FROM {table.sql} AS OLD"
            f" JOIN {deliveries(table.database).sql} AS LEDGER ON LEDGER.EXTRACT_ID = OLD.{quoted(EXTRACT_ID)}"
            f" WHERE LEDGER.STATUS = 'loaded' AND LEDGER.LANDED_AT > {literal(min(landed.values()).isoformat())}"
            f"::TIMESTAMP_TZ) AS THERE ON {' AND '.join(f'STAGED.{name} = THERE.{name}' for name in keys)}"
            f" WHERE THERE.LANDED_AT IS NULL OR THERE.LANDED_AT <= CASE STAGED.{quoted(EXTRACT_ID)} {times} END"
        )
    execute(
        f"MERGE INTO {table.sql} AS TARGET USING ({source}) AS NEW"
        f" ON {' AND '.join(f'TARGET.{name} = NEW.{name}' for name in keys)}"
        f" WHEN MATCHED THEN UPDATE SET {', '.join(f'{name} = NEW.{name}' for name in names)}"
        f" WHEN NOT MATCHED THEN INSERT ({', '.join(names)})"
        f" VALUES ({', '.join(f'NEW.{name}' for name in names)})"
    )
