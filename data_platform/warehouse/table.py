"""Names of tables, the columns that the platform adds, and SQL string constants. Needs no connection."""

from __future__ import annotations

import re
from dataclasses import dataclass

from data_platform.contract import quoted

PLATFORM = "PLATFORM"
DOES_NOT_EXIST = (2003, 2043)
"""Snowflake's error numbers for a table that doesn't exist, or whose schema doesn't."""


@dataclass(frozen=True, slots=True)
class TableRef:
    """A table's qualified name; parts are upper case, as Snowflake stores unquoted names."""

    database: str
    schema: str
    table: str

    def __post_init__(self) -> None:
        for part in (self.database, self.schema, self.table):
            if not re.fullmatch(r"[A-Z_][A-Z0-9_$]*", part):
                raise ValueError(f"{part!r} is not a plain upper-case Snowflake identifier")

    @property
    def sql(self) -> str:
        """`"DATABASE"."SCHEMA"."TABLE"`."""
        return ".".join(quoted(part) for part in (self.database, self.schema, self.table))

    def __str__(self) -> str:
        return f"{self.database}.{self.schema}.{self.table}"


def raw_table(database: str, source: str, table: str) -> TableRef:
    """Where a feed's rows are loaded: `<database>.RAW_<SOURCE>.<TABLE>`."""
    return TableRef(database.upper(), f"RAW_{source}".upper(), table.upper())


def feed_of(table: TableRef) -> str:
    """`<source>/<table>`, the name of the feed whose rows are loaded there."""
    return f"{table.schema.removeprefix('RAW_')}/{table.table}".lower()


def literal(text: str) -> str:
    """A Snowflake string constant. Escapes quotes and backslashes."""
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"
