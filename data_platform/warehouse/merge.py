"""Load mode `merge`: a temporary table for new rows, and the MERGE by the contract's key. `load.py` copies the rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from data_platform.contract import EXTRACT_ID, Column, quoted
from data_platform.feeds.spec import FeedSpec
from data_platform.warehouse.copy import Execute
from data_platform.warehouse.policy import Later
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
    feed: FeedSpec,
    extract_ids: Sequence[str],
    later: Later | None,
) -> None:
    """Merges the staged rows, in the open transaction. Of several rows with the same key, the one of the last extract
    in `extract_ids` wins, and within it the last record: MERGE would refuse two
    (https://docs.snowflake.com/en/sql-reference/sql/merge#duplicate-join-behavior).

    Rows in the table of `later` extracts stay, so that a retry or reload of an old extract doesn't bring back values
    that a later one replaced."""
    names = [column.snowflake_name for column in feed.table_columns]
    keys = [quoted(name) for name in feed.contract.key]
    ranks = " ".join(f"WHEN {literal(each)} THEN {rank}" for rank, each in enumerate(extract_ids))
    order = [f"CASE {quoted(EXTRACT_ID)} {ranks} END DESC"]
    if feed.order_column is not None:
        order.append(f"{quoted(feed.order_column)} DESC")
    source = (
        f"SELECT {', '.join(names)} FROM {staging.sql}"
        f" QUALIFY ROW_NUMBER() OVER (PARTITION BY {', '.join(keys)} ORDER BY {', '.join(order)}) = 1"
    )
    if later is not None:
        times = " ".join(
            f"WHEN {literal(each)} THEN {literal(at.isoformat())}::TIMESTAMP_TZ" for each, at in later.effective.items()
        )
        source = (
            f"SELECT {', '.join(f'STAGED.{name}' for name in names)} FROM ({source}) AS STAGED"
            f" LEFT JOIN (SELECT {', '.join(f'OLD.{name}' for name in keys)}, LATER.EFFECTIVE_AT FROM {table.sql} AS"
            f" OLD JOIN ({later.select}) AS LATER ON LATER.EXTRACT_ID = OLD.{quoted(EXTRACT_ID)}) AS THERE"
            f" ON {' AND '.join(f'STAGED.{name} = THERE.{name}' for name in keys)} WHERE THERE.EFFECTIVE_AT IS NULL"
            f" OR THERE.EFFECTIVE_AT <= CASE STAGED.{quoted(EXTRACT_ID)} {times} END"
        )
    execute(
        f"MERGE INTO {table.sql} AS TARGET USING ({source}) AS NEW"
        f" ON {' AND '.join(f'TARGET.{name} = NEW.{name}' for name in keys)}"
        f" WHEN MATCHED THEN UPDATE SET {', '.join(f'{name} = NEW.{name}' for name in names)}"
        f" WHEN NOT MATCHED THEN INSERT ({', '.join(names)})"
        f" VALUES ({', '.join(f'NEW.{name}' for name in names)})"
    )
