"""What PostgreSQL's catalog says of tables and their columns."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from data_platform.extract.source import Refused
from data_platform.extract.sql.system import FoundTable, Relation
from data_platform.feeds.databases import SqlTableSpec

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor

DEFAULT_SCHEMA = "public"
_SPECIAL = "'NaN', 'Infinity', '-Infinity', 'infinity', '-infinity'"
_SHAPE = re.compile(r"(?:.*\.)?geo(?:metry|graphy)\([A-Za-z]+?(?P<further>Z?M?)(?:,(?P<srid>\d+))?\)")
_TABLES = """
SELECT c.oid, n.nspname, c.relname, obj_description(c.oid, 'pg_class'),
       has_schema_privilege(n.oid, 'USAGE')
       AND (has_table_privilege(c.oid, 'SELECT') OR has_any_column_privilege(c.oid, 'SELECT'))
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
  AND ((n.nspname, c.relname) IN (SELECT * FROM unnest(%s::text[], %s::text[]))
       OR n.nspname = ANY(%s) AND NOT c.relispartition)
ORDER BY n.nspname, c.relname
"""
_KEYS = """
SELECT i.indrelid, array_agg(a.attname::text ORDER BY k.place)
FROM pg_catalog.pg_index i
CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, place)
JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
WHERE i.indrelid = ANY(%s) AND i.indisunique AND i.indisvalid AND k.place <= i.indnkeyatts
  AND i.indpred IS NULL AND i.indexprs IS NULL
GROUP BY i.indexrelid, i.indrelid, i.indisprimary
HAVING bool_and(a.attnotnull)
ORDER BY i.indisprimary DESC, i.indexrelid
"""
# A domain's values come as those of the type beneath it.
_COLUMNS = """
SELECT a.attrelid, a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull,
       CASE WHEN base.typnamespace = 'pg_catalog'::regnamespace THEN base.typname ELSE '' END,
       base.typname, base.typtype, base.typcategory = 'A', base.typmod,
       col_description(a.attrelid, a.attnum), has_column_privilege(a.attrelid, a.attnum, 'SELECT')
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
WHERE a.attrelid = ANY(%s) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attrelid, a.attnum
"""


@dataclass(frozen=True)
class FoundColumn:
    """A column of the database's table. `type`: as PostgreSQL writes it. `builtin`: the built-in type of its values
    (`int4`), or ""; `base`: the type's name, built in or not. `typmod`: of a numeric, precision and scale. `comment`:
    the database's. `readable`: whether the connection's user may read it. `special_is_null`: NaN and infinities are
    read as null."""

    name: str
    type: str
    not_null: bool
    builtin: str
    base: str
    kind: str
    is_array: bool
    typmod: int
    comment: str | None = None
    readable: bool = True
    special_is_null: bool = False

    @property
    def precision(self) -> int | None:
        """The digits of a numeric; None if it may have any number of them."""
        return None if self.typmod < 4 else self.typmod - 4 >> 16 & 0xFFFF

    @property
    def scale(self) -> int | None:
        """The digits after the point of a numeric; None if it may have any number of them."""
        return None if self.typmod < 4 else ((self.typmod - 4 & 0x7FF) ^ 0x400) - 0x400

    @property
    def sql(self) -> str:
        """What is selected of a row: the column, with `special_is_null` without its special values."""
        name = quoted(self.name)
        return f"CASE WHEN {name}::text NOT IN ({_SPECIAL}) THEN {name} END" if self.special_is_null else name

    @property
    def srid(self) -> int | None:
        """The SRID of PostGIS's shapes; None if they may be of any. A geography's is 4326 unless it says another."""
        match = _SHAPE.fullmatch(self.type)
        if match and match["srid"]:
            return int(match["srid"])
        return 4326 if self.base == "geography" else None

    @property
    def dimensions(self) -> int:
        """The coordinates of a point in PostGIS's shapes, as the type says."""
        match = _SHAPE.fullmatch(self.type)
        return 2 + len(match["further"]) if match else 2


def quoted(*parts: str) -> str:
    """A quoted identifier of PostgreSQL."""
    return ".".join('"{}"'.format(part.replace('"', '""')) for part in parts)


def literal(text: str) -> str:
    """A quoted string of PostgreSQL. Not a parameter of a statement: a column's name may have a `%` in it."""
    return "'{}'".format(text.replace("'", "''"))


def placed(relation: Relation) -> tuple[str, str]:
    """A table's schema and name: the schema is public, unless another is named."""
    schema, name = relation
    return schema or DEFAULT_SCHEMA, name


def found_tables(
    cursor: Cursor, relations: Collection[Relation], schemas: Collection[str] = ()
) -> dict[Relation, FoundTable[FoundColumn]]:
    """These tables and views, and those of these schemas; those that don't exist are left out."""
    asked = [placed(relation) for relation in relations]
    cursor.execute(_TABLES, [[schema for schema, _ in asked], [name for _, name in asked], list(schemas)])
    by_oid = {oid: FoundTable[FoundColumn](*row) for oid, *row in cursor.fetchall()}
    cursor.execute(_KEYS, [list(by_oid)])
    for oid, key in cursor.fetchall():
        by_oid[oid].keys.append(tuple(key))
    cursor.execute(_COLUMNS, [list(by_oid)])
    for oid, *row in cursor.fetchall():
        column = FoundColumn(*row)
        by_oid[oid].columns[column.name] = column
    there = {(table.schema, table.name): table for table in by_oid.values()}
    named = {relation: there[placed(relation)] for relation in relations if placed(relation) in there}
    return named | {place: table for place, table in there.items() if place not in asked}


def found_columns(cursor: Cursor, feed: SqlTableSpec) -> dict[str, FoundColumn]:
    """The columns of the feed's table, by name. Raises Refused if there is no such table, or it can't be read."""
    schema, name = placed(feed.relation)
    table = found_tables(cursor, [feed.relation]).get(feed.relation)
    if table is None:
        raise Refused(
            f"{feed.name}: there is no table {schema}.{name} in the database of the connection {feed.connection};"
            " correct `from`, or create it"
        )
    if not table.readable:
        raise Refused(
            f"{feed.name}: the user of the connection {feed.connection} may not read {schema}.{name};"
            f" GRANT SELECT ON {quoted(schema, name)} and USAGE ON SCHEMA {quoted(schema)} to it"
        )
    return table.columns
