"""Load mode `merge`: a temporary table for new rows, and the MERGE by the contract's key. `load.py` copies the rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from data_platform.contract import EXTRACT_ID, Column, quoted
from data_platform.feeds.spec import FeedSpec
from data_platform.warehouse.copy import Execute
from data_platform.warehouse.ledger import loads_of
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
    effective_at: Mapping[str, datetime],
    *,
    beside_later: bool,
) -> None:
    """Merges the staged rows, in the open transaction. `effective_at`: {id: time} of their extracts. Of several rows
    with the same key, that of the latest extract wins, and within it the last record: MERGE would refuse two
    (https://docs.snowflake.com/en/sql-reference/sql/merge#duplicate-join-behavior).

    `beside_later`: the table may have rows of later extracts. They stay, so that a retry or reload of an old extract
    doesn't bring back values that a later one replaced."""
    names, keys = _names(feed)
    in_order = sorted(effective_at, key=lambda each: effective_at[each])
    ranks = " ".join(f"WHEN {literal(each)} THEN {rank}" for rank, each in enumerate(in_order))
    order = [f"CASE {quoted(EXTRACT_ID)} {ranks} END DESC"]
    if feed.order_column is not None:
        order.append(f"{quoted(feed.order_column)} DESC")
    source = (
        f"SELECT {', '.join(names)} FROM {staging.sql}"
        f" QUALIFY ROW_NUMBER() OVER (PARTITION BY {', '.join(keys)} ORDER BY {', '.join(order)}) = 1"
    )
    if beside_later:
        times = " ".join(
            f"WHEN {literal(each)} THEN {literal(at.isoformat())}::TIMESTAMP_TZ" for each, at in effective_at.items()
        )
        source = (
            f"SELECT {', '.join(f'STAGED.{name}' for name in names)} FROM ({source}) AS STAGED"
            f" LEFT JOIN (SELECT {', '.join(f'OLD.{name}' for name in keys)}, LEDGER.EFFECTIVE_AT FROM {table.sql} AS"
            f" OLD JOIN {loads_of(table.database, feed)} AS LEDGER ON LEDGER.EXTRACT_ID = OLD.{quoted(EXTRACT_ID)}"
            f" WHERE LEDGER.REMOVED_AT IS NULL"
            f" AND LEDGER.EFFECTIVE_AT > {literal(min(effective_at.values()).isoformat())}::TIMESTAMP_TZ) AS THERE"
            f" ON {' AND '.join(f'STAGED.{name} = THERE.{name}' for name in keys)} WHERE THERE.EFFECTIVE_AT IS NULL"
            f" OR THERE.EFFECTIVE_AT <= CASE STAGED.{quoted(EXTRACT_ID)} {times} END"
        )
    execute(
        f"{_merge_sql(table, feed, source)} WHEN NOT MATCHED THEN INSERT ({', '.join(names)})"
        f" VALUES ({', '.join(f'NEW.{name}' for name in names)})"
    )


def delete_gone(
    execute: Execute,
    table: TableRef,
    staging: TableRef,
    feed: FeedSpec,
    at: datetime,
    later: Sequence[str],
) -> int:
    """Deletes the table's rows whose key is not among the staged ones, which were read at the time `at`; but none of
    later extracts: those in the ledger that are, and `later`, which are being loaded. Returns their number."""
    keys = [quoted(name) for name in feed.contract.key]
    same = " AND ".join(f"THERE.{key} = STAGED.{key}" for key in keys)
    listed = ", ".join(map(literal, later)) or "''"
    ids = (
        f"SELECT EXTRACT_ID FROM {loads_of(table.database, feed)} WHERE REMOVED_AT IS NULL"
        f" AND EFFECTIVE_AT > {literal(at.isoformat())}::TIMESTAMP_TZ"
    )
    gone = (
        f"SELECT {', '.join(f'THERE.{key}' for key in keys)} FROM {table.sql} AS THERE"
        f" LEFT JOIN {staging.sql} AS STAGED ON {same} WHERE STAGED.{keys[0]} IS NULL"
        f" AND THERE.{quoted(EXTRACT_ID)} NOT IN ({listed}) AND THERE.{quoted(EXTRACT_ID)} NOT IN ({ids})"
    )
    matches = " AND ".join(f"{table.sql}.{key} = GONE.{key}" for key in keys)
    return execute(f"DELETE FROM {table.sql} USING ({gone}) AS GONE WHERE {matches}").rowcount or 0


def overwrite_rows_of(
    execute: Execute, table: TableRef, staging: TableRef, feed: FeedSpec, extract_ids: Sequence[str]
) -> None:
    """Overwrites those rows of the table that came in these extracts, where the staged rows have the same key, by the
    latest of them. The staged rows' extracts are in the ledger."""
    names, keys = _names(feed)
    listed = ", ".join(literal(each) for each in extract_ids)
    order = ["LEDGER.EFFECTIVE_AT DESC", "LEDGER.SEQUENCE DESC"]
    order += [f"STAGED.{quoted(feed.order_column)} DESC"] if feed.order_column is not None else []
    source = (
        f"SELECT {', '.join(f'STAGED.{name}' for name in names)} FROM {staging.sql} AS STAGED"
        f" JOIN {loads_of(table.database, feed)} AS LEDGER ON LEDGER.EXTRACT_ID = STAGED.{quoted(EXTRACT_ID)}"
        f" QUALIFY ROW_NUMBER() OVER (PARTITION BY {', '.join(f'STAGED.{name}' for name in keys)}"
        f" ORDER BY {', '.join(order)}) = 1"
    )
    execute(_merge_sql(table, feed, source, only=f" AND TARGET.{quoted(EXTRACT_ID)} IN ({listed})"))


def _merge_sql(table: TableRef, feed: FeedSpec, source: str, only: str = "") -> str:
    """A MERGE by the feed's key that updates matching rows, those that `only` admits."""
    names, keys = _names(feed)
    return (
        f"MERGE INTO {table.sql} AS TARGET USING ({source}) AS NEW"
        f" ON {' AND '.join(f'TARGET.{name} = NEW.{name}' for name in keys)}"
        f" WHEN MATCHED{only} THEN UPDATE SET {', '.join(f'{name} = NEW.{name}' for name in names)}"
    )


def _names(feed: FeedSpec) -> tuple[list[str], list[str]]:
    """All columns and the key's, as SQL."""
    return [column.snowflake_name for column in feed.table_columns], [quoted(name) for name in feed.contract.key]
