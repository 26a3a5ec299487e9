"""Inserting a ledger's rows: few statements, typed columns, bound values."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from snowflake.connector.cursor import SnowflakeCursor

from data_platform.contract import quoted
from data_platform.warehouse.table import TableRef

_ROWS_A_STATEMENT = 500


def insert_rows(
    cursor: SnowflakeCursor, table: TableRef, columns: Mapping[str, str], rows: Sequence[Sequence[Any]]
) -> None:
    """Inserts rows, their values in the order of `columns` (name to type). A VARIANT takes any JSON value."""
    names = ", ".join(quoted(name) for name in columns)
    values = ", ".join(_value(number, kind) for number, kind in enumerate(columns.values(), start=1))
    one = "(" + ", ".join(["%s"] * len(columns)) + ")"
    variants = [kind == "VARIANT" for kind in columns.values()]
    for start in range(0, len(rows), _ROWS_A_STATEMENT):
        chunk = rows[start : start + _ROWS_A_STATEMENT]
        bound = [_bound(value, variant) for row in chunk for value, variant in zip(row, variants, strict=True)]
        cursor.execute(
            f"INSERT INTO {table.sql} ({names}) SELECT {values} FROM VALUES {', '.join([one] * len(chunk))}",
            bound,
        )


def _value(number: int, kind: str) -> str:
    return f"PARSE_JSON(COLUMN{number})" if kind == "VARIANT" else f"COLUMN{number}::{kind}"


def _bound(value: Any, variant: bool) -> Any:
    if variant:
        return None if value is None else json.dumps(value)
    return value.isoformat() if isinstance(value, datetime) else value


def placeholders(values: Sequence[Any]) -> str:
    """`%s, %s, …` for an IN list."""
    return ", ".join(["%s"] * len(values))
