"""What the catalog of MariaDB or MySQL says of a table's columns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from data_platform.extract.source import Refused
from data_platform.feeds.databases import SqlTableSpec

Rows = Callable[[str], list[tuple[Any, ...]]]
"""Executes a query."""

# A user sees the columns that it has any privilege on.
_COLUMNS = """
SELECT column_name, data_type, column_type, is_nullable = 'NO', numeric_precision, numeric_scale,
       FIND_IN_SET('select', privileges) > 0
FROM information_schema.columns WHERE table_schema = {schema} AND table_name = {name} ORDER BY ordinal_position
"""


@dataclass(frozen=True)
class FoundColumn:
    """A column of the database's table. `builtin`: its type's name (`bigint`); `type`: as the server writes it, with
    length and sign. `precision` and `scale`: of a number."""

    name: str
    builtin: str
    type: str
    not_null: bool
    precision: int | None
    scale: int | None
    readable: bool = True

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


def found_columns(rows: Rows, feed: SqlTableSpec, schema: str, name: str) -> dict[str, FoundColumn]:
    """The columns of the feed's table that the user may read, by name. Raises Refused if there is no such table, or
    none of its columns can be read."""
    found = [FoundColumn(*row) for row in rows(_COLUMNS.format(schema=literal(schema), name=literal(name)))]
    if not found:
        raise Refused(
            f"{feed.name}: there is no table {schema}.{name} in the database of the connection {feed.connection}, or"
            " its user may not see it; correct `from`, or create or grant it"
        )
    readable = {column.name: column for column in found if column.readable}
    if not readable:
        raise Refused(
            f"{feed.name}: the user of the connection {feed.connection} may not read {schema}.{name}; GRANT SELECT ON"
            f" {quoted(schema, name)} to it"
        )
    return readable
