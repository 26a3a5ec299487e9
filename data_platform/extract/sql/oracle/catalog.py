"""What Oracle's catalog says of tables and their columns.

Names that Oracle holds in capitals, as those that were created without quotes, are written in lower case here, and in
the YAML: its own names for them aren't case-sensitive.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from data_platform.extract.sql.system import FoundTable, Relation

Rows = Callable[[str], list[tuple[Any, ...]]]
"""Executes a query."""

# The views ALL_* have what the user may see. Each table and view has a row of ALL_TAB_COMMENTS.
_TABLES = "SELECT owner, table_name, comments FROM all_tab_comments WHERE {wanted} ORDER BY owner, table_name"
_COLUMNS = """
SELECT c.owner, c.table_name, c.column_name, c.data_type, c.nullable, c.data_precision, c.data_scale, d.comments
FROM all_tab_columns c LEFT JOIN all_col_comments d
  ON d.owner = c.owner AND d.table_name = c.table_name AND d.column_name = c.column_name
WHERE {wanted} ORDER BY c.owner, c.table_name, c.column_id
"""
_KEYS = """
SELECT k.owner, k.table_name, k.constraint_name, c.column_name
FROM all_constraints k JOIN all_cons_columns c
  ON c.owner = k.owner AND c.constraint_name = k.constraint_name AND c.table_name = k.table_name
WHERE k.constraint_type IN ('P', 'U') AND k.status = 'ENABLED' AND ({wanted})
ORDER BY k.owner, k.table_name, k.constraint_type, k.constraint_name, c.position
"""
_PLAIN = re.compile(r"[A-Z][A-Z0-9_$#]*")


@dataclass(frozen=True)
class FoundColumn:
    """A column of the database's table. `stored`: its name in the catalog. `data_type`: as the catalog has it, without
    a number's digits. `precision`, `scale`: of a number; `scale` of a timestamp: the digits of its seconds."""

    stored: str
    data_type: str
    not_null: bool
    precision: int | None
    scale: int | None
    comment: str | None

    readable = True

    @property
    def name(self) -> str:
        """The name as a person writes it."""
        return written(self.stored)

    @property
    def type(self) -> str:
        """The type as Oracle writes it."""
        if self.data_type == "NUMBER" and (self.precision is not None or self.scale is not None):
            digits = "*" if self.precision is None else self.precision
            return f"NUMBER({digits},{self.scale})" if self.scale else f"NUMBER({digits})"
        return self.data_type

    @property
    def kind(self) -> str:
        """The type without its digits: `TIMESTAMP WITH TIME ZONE`."""
        return re.sub(r"\(\d+\)", "", self.data_type)

    @property
    def sql(self) -> str:
        """The column, of the table that a query calls t."""
        return f"t.{quoted(self.stored)}"


def written(name: str) -> str:
    """A name of the catalog as a person writes it."""
    return name.lower() if _PLAIN.fullmatch(name) else name


def stored(name: str) -> str:
    """A name that a person wrote as the catalog has it."""
    upper = name.upper()
    return upper if name == name.lower() and _PLAIN.fullmatch(upper) else name


def quoted(*parts: str) -> str:
    """A quoted identifier."""
    return ".".join(f'"{part}"' for part in parts)  # it can't have a quotation mark in it


def literal(text: str) -> str:
    """A quoted string."""
    return "'{}'".format(text.replace("'", "''"))


def found_tables(
    rows: Rows, relations: Collection[Relation], schemas: Collection[str], default: str
) -> dict[Relation, FoundTable[FoundColumn]]:
    """These tables and views, by their names as given, and those of these schemas; those that don't exist are left
    out. `default`: the schema of those that are named without one."""
    asked = {relation: (stored(relation[0] or default), stored(relation[1])) for relation in relations}
    names = [f"({literal(schema)}, {literal(name)})" for schema, name in asked.values()]
    owners = [literal(stored(schema)) for schema in schemas]

    def wanted(table: str = "") -> dict[str, str]:
        parts = [f"({table}owner, {table}table_name) IN ({', '.join(names)})"] if names else []
        return {"wanted": " OR ".join([*parts, *([f"{table}owner IN ({', '.join(owners)})"] if owners else [])])}

    if not names and not owners:
        return {}
    there: dict[tuple[str, str], FoundTable[FoundColumn]] = {
        (owner, name): FoundTable(written(owner), written(name), comment, True)
        for owner, name, comment in rows(_TABLES.format(**wanted()))
    }
    for owner, name, column, type_, nullable, precision, scale, comment in rows(_COLUMNS.format(**wanted("c."))):
        if (owner, name) in there:
            found = FoundColumn(column, type_, nullable == "N", precision, scale, comment)
            there[owner, name].columns[found.name] = found
    keys: dict[tuple[str, str, str], list[str]] = {}
    for owner, name, constraint, column in rows(_KEYS.format(**wanted("k."))):
        keys.setdefault((owner, name, constraint), []).append(written(column))
    for (owner, name, _), columns in keys.items():
        table = there.get((owner, name))
        if table is not None and all(table.columns[column].not_null for column in columns):
            table.keys.append(tuple(columns))
    named = {relation: there[place] for relation, place in asked.items() if place in there}
    others = {place: table for place, table in there.items() if place not in asked.values()}
    return named | {(table.schema, table.name): table for table in others.values()}
