"""What the catalog of MariaDB or MySQL says of tables and their columns."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any

from data_platform.extract.sql.system import FoundTable, Relation

Rows = Callable[[str], list[tuple[Any, ...]]]
"""Executes a query."""

_TABLES = """
SELECT table_schema, table_name, CASE WHEN table_type = 'BASE TABLE' THEN table_comment END
FROM information_schema.tables WHERE {wanted} ORDER BY table_schema, table_name
"""
# A user sees the columns that it has any privilege on.
_COLUMNS = """
SELECT table_schema, table_name, column_name, data_type, column_type, is_nullable = 'NO', numeric_precision,
       numeric_scale, column_comment, FIND_IN_SET('select', privileges) > 0
FROM information_schema.columns WHERE {wanted} ORDER BY table_schema, table_name, ordinal_position
"""
_KEYS = """
SELECT table_schema, table_name, index_name, GROUP_CONCAT(column_name ORDER BY seq_in_index SEPARATOR '\n')
FROM information_schema.statistics WHERE non_unique = 0 AND ({wanted})
GROUP BY table_schema, table_name, index_name
HAVING MAX(nullable = 'YES') = 0 AND COUNT(sub_part) = 0 AND COUNT(column_name) = COUNT(*)
ORDER BY index_name <> 'PRIMARY', index_name
"""


@dataclass(frozen=True)
class FoundColumn:
    """A column of the database's table. `builtin`: its type's name (`bigint`); `type`: as the server writes it, with
    length and sign. `precision` and `scale`: of a number. `readable`:
    whether the connection's user may read it."""

    name: str
    builtin: str
    type: str
    not_null: bool
    precision: int | None
    scale: int | None
    comment: str
    readable: bool

    @property
    def unsigned(self) -> bool:
        """Whether it is a number without a sign."""
        return "unsigned" in self.type

    @property
    def sql(self) -> str:
        """The column's quoted name."""
        return quoted(self.name)


def quoted(*parts: str) -> str:
    """A quoted identifier."""
    return ".".join("`{}`".format(part.replace("`", "``")) for part in parts)


def literal(text: str) -> str:
    """A quoted string, in a session without escapes by backslash."""
    return "'{}'".format(text.replace("'", "''"))


def found_tables(
    rows: Rows, relations: Collection[Relation], schemas: Collection[str], default: str
) -> dict[Relation, FoundTable[FoundColumn]]:
    """These tables and views, by their names as given, and those of these schemas; those that don't exist are left
    out. `default`: the schema of those that are named without one."""
    asked = {relation: (relation[0] or default, relation[1]) for relation in relations}
    names = [f"({literal(schema)}, {literal(name)})" for schema, name in asked.values()]
    wanted = [f"(table_schema, table_name) IN ({', '.join(names)})"] if names else []
    wanted += [f"table_schema IN ({', '.join(map(literal, schemas))})"] if schemas else []
    if not wanted:
        return {}
    where = {"wanted": " OR ".join(wanted)}
    there: dict[tuple[str, str], FoundTable[FoundColumn]] = {
        (schema, name): FoundTable(schema, name, comment or None, True)
        for schema, name, comment in rows(_TABLES.format(**where))
    }
    for schema, name, *column in rows(_COLUMNS.format(**where)):
        found = FoundColumn(*column)
        there[schema, name].columns[found.name] = found
    for schema, name, _, columns in rows(_KEYS.format(**where)):
        there[schema, name].keys.append(tuple(columns.split("\n")))
    for place, table in there.items():
        there[place] = replace(table, readable=any(column.readable for column in table.columns.values()))
    named = {relation: there[place] for relation, place in asked.items() if place in there}
    return named | {place: table for place, table in there.items() if place not in asked.values()}
