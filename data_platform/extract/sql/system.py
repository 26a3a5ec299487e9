"""What a database system provides, so that its tables can be read: one module or folder here for each system.

A session is opened for a feed, and sees one state of the database. It knows the table's columns and says of each how
its values are read; it gives rows by the page. Windows, retries, drift and limits are the same for all systems, and
not here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeAlias, TypeVar
from urllib.parse import urlsplit

from data_platform.contract import Column
from data_platform.feeds.databases import SqlTableSpec
from data_platform.feeds.discovery import CatalogColumn
from data_platform.values.rejects import Converted

RETRY_AFTER_SECONDS = (1.0, 4.0, 10.0)

Result = TypeVar("Result")


class DatabaseFailed(Exception):
    """The database can't be reached, or broke off; the message says why, without the URL. `passing`: another try may
    succeed."""

    def __init__(self, reason: str, *, passing: bool = False) -> None:
        super().__init__(reason)
        self.passing = passing


Relation: TypeAlias = tuple[str | None, str]
"""(schema, name) of a table, as a person names it; None: the schema that the system takes if none is named."""


class FoundColumn(Protocol):
    """A column of the database's table. `type`: as the system writes it. `readable`: whether the user may read it."""

    @property
    def name(self) -> str: ...

    @property
    def type(self) -> str: ...

    @property
    def readable(self) -> bool: ...


class ColumnReader(Protocol):
    """Reads one column. `expression`: what is selected of a row."""

    @property
    def expression(self) -> str: ...


Found = TypeVar("Found", bound=FoundColumn)
Reader = TypeVar("Reader", bound=ColumnReader)


@dataclass(frozen=True)
class FoundTable(Generic[Found]):
    """A table or view of the database, as its catalog names it. `readable`: whether the user may read it. `keys`: the
    sets of columns, none of them null, that identify a row; the primary key first. `columns`: by name, in order."""

    schema: str
    name: str
    comment: str | None
    readable: bool
    keys: list[tuple[str, ...]] = field(default_factory=list)
    columns: dict[str, Found] = field(default_factory=dict)


@dataclass(frozen=True)
class Mark:
    """How a watermark is compared, in the system's SQL. `text`: an expression as text, which keeps it exactly.
    `value`: such a text as an expression. `earlier`: the same, moved back by so many minutes. `odd`: conditions of
    the rows that have no place in the order; they are in every window. `is_place`: whether a text can be compared: one
    that can't is refused."""

    sql: str
    text: Callable[[str], str]
    value: Callable[[str], str]
    earlier: Callable[[str, int], str] = lambda text, minutes: text
    odd: tuple[str, ...] = ()
    is_place: Callable[[str], bool] = lambda text: True


class Page(Protocol):
    """Some rows, read."""

    def __len__(self) -> int: ...

    @property
    def converted(self) -> Sequence[Converted]:
        """Their values, by the columns of the plan."""

    def texts(self, row: int) -> Sequence[str | None]:
        """One row's values as text, for a reject."""


class Session(Protocol[Found, Reader]):
    """A read-only transaction. Its methods raise DatabaseFailed."""

    def relation(self, feed: SqlTableSpec) -> str:
        """The feed's table in SQL."""

    @property
    def default_schema(self) -> str:
        """The schema of tables that are named without one."""

    def tables(self, relations: Collection[Relation], schemas: Collection[str]) -> Mapping[Relation, FoundTable[Found]]:
        """What the catalog says of these tables, by their names as given, and of those of these schemas, by (schema,
        name). Tables that don't exist are left out."""

    def described(self, found: Found, zone: str) -> CatalogColumn:
        """How a contract would declare the column. `zone`: of the database's times without a zone."""

    def columns(self, feed: SqlTableSpec) -> Mapping[str, Found]:
        """The columns of the feed's table, by name. Raises Refused if there is no such table, or it can't be read."""

    def reader(self, column: Column, found: Found) -> Reader | str:
        """What reads the column of a contract, or what the contract or the database should say instead."""

    def mark(self, found: Found) -> Mark | None:
        """How a column is compared as a watermark; None where it can't be one."""

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """The rows of a query that has few."""

    def pages(self, query: str, readers: Sequence[Reader]) -> AbstractContextManager[Iterator[Page]]:
        """The rows of a query that selects what the readers read. Leaving the block ends the query."""


@dataclass(frozen=True)
class System:
    """A database system. `name`: as people write it. `session`: opens one, by the URL and the name of the program that
    the server is to show, and, of a system whose sessions share their state (`slices.py`), by that state's name.
    `version`: a query of the server's version and the session's user; None if none serves all of them."""

    name: str
    session: Callable[..., AbstractContextManager[Session[Any, Any]]]
    version: str | None


def system_of(url: str) -> System:
    """The system of a connection's URL. Raises DatabaseFailed where there is none for it."""
    scheme = urlsplit(url).scheme
    if "+" in scheme or scheme == "sqlite":
        from data_platform.extract.sql.alchemy.session import AlchemySession

        return System(scheme, AlchemySession.opened, None)
    if scheme in ("postgresql", "postgres"):
        from data_platform.extract.sql.postgres.session import PostgresSession

        return System("PostgreSQL", PostgresSession.opened, "SELECT current_setting('server_version'), current_user")
    if scheme in ("mysql", "mariadb"):
        from data_platform.extract.sql.mysql.session import MysqlSession

        return System(
            "MariaDB" if scheme == "mariadb" else "MySQL", MysqlSession.opened, "SELECT version(), current_user()"
        )
    if scheme == "oracle":
        from data_platform.extract.sql.oracle.session import OracleSession

        return System(
            "Oracle", OracleSession.opened, "SELECT version, user FROM product_component_version WHERE rownum = 1"
        )
    raise DatabaseFailed(f"nothing here reads a database by a {scheme}:// URL")


def retried(begin: Callable[[], Result]) -> Result:
    """What `begin` returns. Calls it again, some seconds apart, while the server can't be reached. Raises
    DatabaseFailed."""
    for pause in RETRY_AFTER_SECONDS:
        try:
            return begin()
        except DatabaseFailed as error:
            if not error.passing:
                raise
            time.sleep(pause)
    return begin()


def first_line(error: BaseException) -> str:
    """A driver's message in one line."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
