"""Connects to PostgreSQL: one read-only transaction in UTC, which sees one state of the database."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg2

from data_platform.contract import Column
from data_platform.extract.source import Refused
from data_platform.extract.sql.fields import ColumnReader, FieldPage
from data_platform.extract.sql.postgres.catalog import (
    DEFAULT_SCHEMA,
    FoundColumn,
    found_columns,
    found_tables,
    literal,
    placed,
    quoted,
)
from data_platform.extract.sql.postgres.columns import reader_for
from data_platform.extract.sql.postgres.copying import Copy, fields
from data_platform.extract.sql.postgres.described import described
from data_platform.extract.sql.system import DatabaseFailed, FoundTable, Mark, Relation, first_line
from data_platform.feeds.databases import SqlTableSpec
from data_platform.feeds.discovery import CatalogColumn

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection
    from psycopg2.extensions import cursor as Cursor

CONNECT_SECONDS = 15
_REFUSED = ("authentication failed", "does not exist", "no pg_hba.conf entry", "permission denied", "not permitted")
"""What a server says that another try won't change."""
PART_BYTES = 512 * 2**20
MOST_PARTS = 16
RANGES_SINCE = 140_000
"""The version of PostgreSQL from which on a range of blocks is read without the rest of the table."""
_MOMENTS = ("timestamptz", "timestamp", "date")
# SET LOCAL also works through a pooler that gives each transaction another session.
# synchronize_seqscans: two reads of a table that didn't change give its rows in the same order.
_SETTINGS = {
    "timezone": "UTC",
    "datestyle": "ISO, YMD",
    "intervalstyle": "iso_8601",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "synchronize_seqscans": "off",
    "standard_conforming_strings": "on",
    "lock_timeout": "60s",
    "statement_timeout": "12h",
    "idle_in_transaction_session_timeout": "1h",
}


class PostgresSession:
    """A transaction of isolation level REPEATABLE READ."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    @classmethod
    @contextmanager
    def opened(cls, url: str, application: str, state: str | None = None) -> Iterator[PostgresSession]:
        """A session of its own connection. `state`: what another session has exported, to be read here too."""
        with told(), transaction(url, application, state) as connection:
            yield cls(connection)

    def relation(self, feed: SqlTableSpec) -> str:
        """The feed's table; its schema is public, unless the feed names another."""
        return quoted(*placed(feed.relation))

    @property
    def default_schema(self) -> str:
        """The schema of tables that are named without one."""
        return DEFAULT_SCHEMA

    def tables(
        self, relations: Collection[Relation], schemas: Collection[str]
    ) -> dict[Relation, FoundTable[FoundColumn]]:
        """What the catalog says of these tables, and of those of these schemas."""
        with told(), self.connection.cursor() as cursor:
            return found_tables(cursor, relations, schemas)

    def described(self, found: FoundColumn, zone: str) -> CatalogColumn:
        """How a contract would declare the column."""
        return described(found, zone)

    def columns(self, feed: SqlTableSpec) -> dict[str, FoundColumn]:
        """The columns of the feed's table, by name."""
        with told(), self.connection.cursor() as cursor:
            return found_columns(cursor, feed)

    def reader(self, column: Column, found: FoundColumn) -> ColumnReader | str:
        """What reads the column."""
        return reader_for(column, found)

    def parts(self, feed: SqlTableSpec) -> list[str]:
        """Ranges of the table's blocks. Views, and tables that are partitioned or foreign, are read in one piece."""
        relation = self.relation(feed)
        ((kind, blocks, block_size, version),) = self.rows(
            "SELECT relkind, CASE WHEN relkind IN ('r', 'm') THEN pg_relation_size(oid) END"
            " / current_setting('block_size')::int, current_setting('block_size')::int,"
            f" current_setting('server_version_num')::int FROM pg_class WHERE oid = {literal(relation)}::regclass"
        )
        if kind not in ("r", "m"):
            if (feed.parts or 1) > 1:
                raise Refused(f"{feed.name}: only an ordinary table can be read in parts; leave `parts` out")
            return []
        wanted = blocks * block_size // PART_BYTES if version >= RANGES_SINCE else 1
        count = min(feed.parts or min(wanted, MOST_PARTS), blocks)
        ends = [blocks * each // count for each in range(1, count)] if count > 1 else []
        first = [f"ctid >= '({block},0)'" for block in ends]
        last = [f"ctid < '({block},0)'" for block in ends]
        return [" AND ".join(both) for both in zip(["TRUE", *first], [*last, "TRUE"], strict=True)] if ends else []

    def keys_state(self, feed: SqlTableSpec, columns: Sequence[str]) -> str:
        """The number of keys, and the sum of their hashes."""
        key = ", ".join(map(quoted, columns))
        hashes = f"hashtextextended(ROW({key})::text, 0)::numeric"
        ((state,),) = self.rows(f"SELECT concat(count(*), ' ', sum({hashes})) FROM {self.relation(feed)}")
        return str(state)

    def exported(self) -> str:
        """The snapshot's name. The session may stay idle as long as others need it."""
        ((name, _),) = self.rows(
            "SELECT pg_export_snapshot(), set_config('idle_in_transaction_session_timeout', '0', true)"
        )
        return str(name)

    def mark(self, found: FoundColumn) -> Mark | None:
        """Moments, dates and integers are watermarks; infinite ones, and nulls, have no place in the order."""
        if found.builtin not in (*_MOMENTS, "int2", "int4", "int8"):
            return None
        odd = [] if found.not_null else [f"{found.sql} IS NULL"]
        odd += [f"{found.sql} IN ('infinity', '-infinity')"] if found.builtin in _MOMENTS else []
        return Mark(
            found.sql,
            text=lambda sql: f"{sql}::text",
            value=lambda text: f"CAST({literal(text)} AS {found.builtin})",
            earlier=lambda text, minutes: f"CAST({literal(text)} AS {found.builtin}) - INTERVAL '{minutes} minutes'",
            odd=tuple(odd),
        )

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        with told(), self.connection.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetchall()

    @contextmanager
    def pages(self, query: str, readers: Sequence[ColumnReader]) -> Iterator[Iterator[FieldPage]]:
        """The rows of a query, streamed."""
        with Copy(self.connection, query, len(readers)) as copy:
            yield self._pages(copy, readers)

    def _pages(self, copy: Copy, readers: Sequence[ColumnReader]) -> Iterator[FieldPage]:
        with told():
            for rows in copy.pages():
                yield FieldPage.read(readers, fields(rows, len(readers)), len(rows.ends))


@contextmanager
def told() -> Iterator[None]:
    """Raises DatabaseFailed for what psycopg2 raises."""
    try:
        yield
    except psycopg2.Error as error:
        passing = isinstance(error, psycopg2.OperationalError) and not any(word in str(error) for word in _REFUSED)
        raise DatabaseFailed(first_line(error), passing=passing) from None


@contextmanager
def transaction(url: str, application: str, state: str | None = None) -> Iterator[Connection]:
    """A connection in a read-only transaction of isolation level REPEATABLE READ, which sees the database as it is now,
    or in the exported `state`. Raises psycopg2.OperationalError; DatabaseFailed for a URL that is none, and if the
    state is gone."""
    try:
        connection = psycopg2.connect(
            url,
            connect_timeout=CONNECT_SECONDS,
            application_name=application[:63],
            # A server that is gone is noticed within about a minute, also in the middle of a long read.
            keepalives_idle=30,
            keepalives_interval=10,
            keepalives_count=3,
        )
    except psycopg2.ProgrammingError:  # its message quotes parts of the URL
        raise DatabaseFailed("the connection's URL can't be read; percent-encode the user and password in it") from None
    try:
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        # A database that doesn't know its encoding would refuse to give bytes that aren't UTF-8, and end the read.
        raw = connection.info.parameter_status("server_encoding") == "SQL_ASCII"
        wanted = {**_SETTINGS, "client_encoding": "SQL_ASCII" if raw else "UTF8"}
        with connection.cursor() as cursor:
            if state is not None:
                _adopt(cursor, state)
            cursor.execute("".join(f"SET LOCAL {name} = '{value}';" for name, value in wanted.items()))
        yield connection
    finally:
        connection.close()


def _adopt(cursor: Cursor, state: str) -> None:
    try:
        cursor.execute("SET TRANSACTION SNAPSHOT %s", [state])
    except (psycopg2.errors.InvalidParameterValue, psycopg2.errors.UndefinedObject):
        raise DatabaseFailed(
            "the state of the database that this read began with is gone, as the connection that held it has ended."
            " Nothing of it is loaded; the next run reads anew"
        ) from None
