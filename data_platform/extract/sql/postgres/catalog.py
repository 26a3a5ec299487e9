"""What PostgreSQL's catalog says of a table's columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from data_platform.extract.source import Refused
from data_platform.feeds.databases import SqlTableSpec

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor

# A domain's values come as those of the type beneath it.
_COLUMNS = """
SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull,
       CASE WHEN base.typnamespace = 'pg_catalog'::regnamespace THEN base.typname ELSE '' END,
       base.typname, base.typtype, base.typcategory = 'A', base.typmod
FROM pg_catalog.pg_attribute a
CROSS JOIN LATERAL (
    WITH RECURSIVE chain AS (
        SELECT t.*, a.atttypmod AS typmod, 0 AS depth FROM pg_catalog.pg_type t WHERE t.oid = a.atttypid
        UNION ALL
        SELECT t.*, chain.typtypmod, chain.depth + 1
        FROM chain JOIN pg_catalog.pg_type t ON t.oid = chain.typbasetype WHERE chain.typtype = 'd'
    )
    SELECT * FROM chain ORDER BY depth DESC LIMIT 1
) base
WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
"""


@dataclass(frozen=True)
class FoundColumn:
    """A column of the database's table. `type`: as PostgreSQL writes it. `builtin`: the built-in type of its values
    (`int4`), or ""; `base`: the type's name, built in or not. `typmod`: of a numeric, precision and scale."""

    name: str
    type: str
    not_null: bool
    builtin: str
    base: str
    kind: str
    is_array: bool
    typmod: int

    @property
    def scale(self) -> int | None:
        """The digits after the point of a numeric; None if it may have any number of them."""
        return None if self.typmod < 4 else ((self.typmod - 4 & 0x7FF) ^ 0x400) - 0x400

    @property
    def sql(self) -> str:
        """The column's quoted name."""
        return quoted(self.name)


def quoted(*parts: str) -> str:
    """A quoted identifier of PostgreSQL."""
    return ".".join('"{}"'.format(part.replace('"', '""')) for part in parts)


def literal(text: str) -> str:
    """A quoted string of PostgreSQL. Not a parameter of a statement: a column's name may have a `%` in it."""
    return "'{}'".format(text.replace("'", "''"))


def schema_and_name(feed: SqlTableSpec) -> tuple[str, str]:
    """The feed's table; its schema is public, unless the feed names another."""
    schema, name = feed.relation
    return schema or "public", name


def found_columns(cursor: Cursor, feed: SqlTableSpec) -> dict[str, FoundColumn]:
    """The columns of the feed's table, by name. Raises Refused if there is no such table, or it can't be read."""
    schema, name = schema_and_name(feed)
    relation = quoted(schema, name)
    cursor.execute("SELECT to_regclass(%s)::oid", [relation])
    ((oid,),) = cursor.fetchall()
    if oid is None:
        raise Refused(
            f"{feed.name}: there is no table {schema}.{name} in the database of the connection"
            f" {feed.connection}, or its user may not use the schema; correct `from`, or create or grant it"
        )
    cursor.execute(
        "SELECT pg_catalog.has_table_privilege(%s, 'SELECT') OR has_any_column_privilege(%s, 'SELECT')", [oid] * 2
    )
    ((readable,),) = cursor.fetchall()
    if not readable:
        raise Refused(
            f"{feed.name}: the user of the connection {feed.connection} may not read {schema}.{name};"
            f" GRANT SELECT ON {relation} to it"
        )
    cursor.execute(_COLUMNS, [oid])
    return {row[0]: FoundColumn(*row) for row in cursor.fetchall()}
