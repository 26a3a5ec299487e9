"""Connects by SQLAlchemy, and reads the catalog by its inspector."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import Any

import sqlalchemy
from sqlalchemy import types
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, NoSuchModuleError, OperationalError
from sqlalchemy.pool import NullPool
from sqlalchemy.sql.elements import quoted_name

from data_platform.contract import Column
from data_platform.extract.sql.alchemy.columns import ColumnReader, FoundColumn, ValuePage, described, reader_for
from data_platform.extract.sql.found import readable_columns
from data_platform.extract.sql.system import DatabaseFailed, FoundTable, Mark, Relation, first_line
from data_platform.feeds.databases import SqlTableSpec
from data_platform.feeds.discovery import CatalogColumn

ROWS_A_PAGE = 2_000


class AlchemySession:
    """A connection in a transaction of the database's usual isolation level."""

    def __init__(self, connection: sqlalchemy.Connection) -> None:
        self.connection = connection
        self._dialect = connection.dialect

    @classmethod
    @contextmanager
    def opened(cls, url: str, application: str) -> Iterator[AlchemySession]:
        """A session of its own connection."""
        with told(), _engine(url).connect() as connection:
            yield cls(connection)

    def relation(self, feed: SqlTableSpec) -> str:
        """The feed's table."""
        return ".".join(self._quoted(part) for part in feed.relation if part)

    @property
    def default_schema(self) -> str:
        """The connection's schema; empty where the system has none."""
        return self._inspector.default_schema_name or ""

    def tables(
        self, relations: Collection[Relation], schemas: Collection[str]
    ) -> dict[Relation, FoundTable[FoundColumn]]:
        """What the inspector finds of these tables, and of those of these schemas."""
        with told():
            default = self.default_schema
            asked = {(schema or default, name) for schema, name in relations}
            found = {
                (schema, name): self._table(schema or default, name)
                for schema, name in relations
                if self._exists(schema or default, name)
            }
            for schema in schemas:
                names = [*self._inspector.get_table_names(schema), *self._inspector.get_view_names(schema)]
                found |= {(schema, name): self._table(schema, name) for name in names if (schema, name) not in asked}
            return found

    def described(self, found: FoundColumn, zone: str) -> CatalogColumn:
        """How a contract would declare the column."""
        return described(found, zone)

    def columns(self, feed: SqlTableSpec) -> dict[str, FoundColumn]:
        """The columns of the feed's table, by name."""
        tables = self.tables([feed.relation], ())
        return readable_columns(tables, feed, feed.from_ or feed.table, "grant it the right to read the table")

    def reader(self, column: Column, found: FoundColumn) -> ColumnReader | str:
        """What reads the column."""
        return reader_for(column, found)

    def mark(self, found: FoundColumn) -> Mark | None:
        """Moments, dates and integers are watermarks; nulls have no place in the order."""
        if not isinstance(found.held, types.DateTime | types.Date | types.Integer):
            return None

        def value(text: str) -> str:
            return self._literal(_parsed(text) if not self._as_text(found) else text)

        def earlier(text: str, minutes: int) -> str:
            moment = _parsed(text)
            before = datetime.fromisoformat(str(moment)) - timedelta(minutes=minutes)
            if isinstance(moment, date) and not isinstance(moment, datetime):
                return self._literal(before.date() if not self._as_text(found) else str(before.date()))
            return self._literal(before if not self._as_text(found) else before.isoformat(text[10:11] or " "))

        odd = () if found.not_null else (f"{found.sql} IS NULL",)
        return Mark(found.sql, lambda sql: sql, value, earlier, odd)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """The rows of a query, its moments as text."""
        with told():
            found = self.connection.execute(_statement(query)).fetchall()
        return [tuple(str(value) if isinstance(value, date) else value for value in row) for row in found]

    @contextmanager
    def pages(self, query: str, readers: Sequence[ColumnReader]) -> Iterator[Iterator[ValuePage]]:
        """The rows of a query, streamed where the driver can."""
        with told():
            streaming = self.connection.execution_options(stream_results=True, max_row_buffer=ROWS_A_PAGE)
            result = streaming.execute(_statement(query))
        try:
            yield self._pages(result, readers)
        finally:
            result.close()

    def _pages(self, result: sqlalchemy.CursorResult[Any], readers: Sequence[ColumnReader]) -> Iterator[ValuePage]:
        with told():
            while rows := result.fetchmany(ROWS_A_PAGE):
                yield ValuePage(readers, rows)

    @cached_property
    def _inspector(self) -> sqlalchemy.Inspector:
        return sqlalchemy.inspect(self.connection)

    def _exists(self, schema: str, name: str) -> bool:
        # Some dialects say of a view that there is no such table.
        return self._inspector.has_table(name, schema or None) or name in self._inspector.get_view_names(schema or None)

    def _table(self, schema: str, name: str) -> FoundTable[FoundColumn]:
        place = (name, schema or None)
        try:
            comment = self._inspector.get_table_comment(*place)["text"]
        except NotImplementedError:
            comment = None
        columns = {column["name"]: self._column(column) for column in self._inspector.get_columns(*place)}
        keys = [tuple(self._inspector.get_pk_constraint(*place).get("constrained_columns", ()))]
        keys += [tuple(each["column_names"]) for each in self._inspector.get_unique_constraints(*place)]
        primary = set(keys[0])
        usable = [key for key in keys if key and all(name in primary or columns[name].not_null for name in key)]
        return FoundTable(schema, name, comment, True, usable, columns)

    def _column(self, found: Any) -> FoundColumn:
        held: types.TypeEngine[Any] = found["type"]
        column = sqlalchemy.column(quoted_name(found["name"], quote=True), held)
        text = sqlalchemy.cast(column, sqlalchemy.Text).compile(dialect=self._dialect)
        try:
            type_ = held.compile(self._dialect)
        except sqlalchemy.exc.CompileError:
            type_ = "of a type that SQLAlchemy doesn't know"
        return FoundColumn(
            found["name"],
            type_,
            held,
            not found.get("nullable", True),
            found.get("comment") or "",
            self._quoted(found["name"]),
            str(text),
            self._dialect.name == "sqlite",
        )

    def _quoted(self, name: str) -> str:
        return self._dialect.identifier_preparer.quote_identifier(name)

    def _as_text(self, found: FoundColumn) -> bool:
        """Whether the database holds a moment as text, which is compared as it is."""
        return found.floats and not isinstance(found.held, types.Integer)

    def _literal(self, value: Any) -> str:
        given = sqlalchemy.literal(value)
        return str(given.compile(dialect=self._dialect, compile_kwargs={"literal_binds": True}))


@contextmanager
def told() -> Iterator[None]:
    """Raises DatabaseFailed for what SQLAlchemy raises of a driver."""
    try:
        yield
    except DBAPIError as error:
        passing = error.connection_invalidated or isinstance(error, OperationalError | InterfaceError)
        raise DatabaseFailed(first_line(error.orig or error), passing=passing) from None


def _engine(url: str) -> sqlalchemy.Engine:
    try:
        return sqlalchemy.create_engine(url, poolclass=NullPool)
    except (NoSuchModuleError, ImportError) as error:
        raise DatabaseFailed(f"the database's driver isn't installed: {first_line(error)}; install it") from None
    except (ArgumentError, ValueError):  # its message quotes parts of the URL
        raise DatabaseFailed("the connection's URL can't be read; percent-encode the user and password in it") from None


def _statement(query: str) -> sqlalchemy.TextClause:
    """The query as it is: a colon in it begins no parameter."""
    return sqlalchemy.text(query.replace(":", "\\:"))


def _parsed(text: str) -> int | date:
    """A watermark's text as a value."""
    if len(text) == 10 and text[4] == "-":
        return date.fromisoformat(text)
    return int(text) if text.removeprefix("-").isdigit() else datetime.fromisoformat(text)
