"""Connects to MariaDB or MySQL: one read-only transaction in UTC, which sees one state of the database."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

import pymysql

from data_platform.contract import Column
from data_platform.extract.source import Refused
from data_platform.extract.sql.fields import ColumnReader, FieldPage
from data_platform.extract.sql.found import readable_columns
from data_platform.extract.sql.mysql.catalog import FoundColumn, found_tables, literal, quoted
from data_platform.extract.sql.mysql.columns import INTEGERS, reader_for
from data_platform.extract.sql.mysql.described import described
from data_platform.extract.sql.mysql.packets import Rows, fields, streamed
from data_platform.extract.sql.system import DatabaseFailed, FoundTable, Mark, Relation, first_line
from data_platform.feeds.databases import SqlTableSpec
from data_platform.feeds.discovery import CatalogColumn

if TYPE_CHECKING:
    from pymysql.connections import Connection

CONNECT_SECONDS = 15
_PASSING = frozenset((1040, 1053, 1077, 1203, 1205, 1213, 1317, 1927, 2002, 2003, 2006, 2013))
"""The error codes of a server that may answer another try: too many connections, shutting down, deadlock, killed, can't
connect, lost."""
# NO_BACKSLASH_ESCAPES: a literal is escaped in one way. The timeouts: a reader that waits for the lake isn't dropped.
_SETTINGS = (
    "SET SESSION time_zone = '+00:00', sql_mode = 'NO_BACKSLASH_ESCAPES', net_write_timeout = 3600",
    "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
)
_MOMENTS = {"timestamp": "DATETIME(6)", "datetime": "DATETIME(6)", "date": "DATE"}
# A server that is gone is noticed within about a minute, also in the middle of a long read.
_KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}


class MysqlSession:
    """A transaction of isolation level REPEATABLE READ, with a snapshot from its beginning."""

    def __init__(self, connection: Connection[Any], database: str) -> None:
        self.connection = connection
        self._database = database

    @classmethod
    @contextmanager
    def opened(cls, url: str, application: str) -> Iterator[MysqlSession]:
        """A session of its own connection."""
        with told():
            connection = _connected(url, application)
            try:
                with connection.cursor() as cursor:
                    for statement in _SETTINGS:
                        cursor.execute(statement)
                yield cls(connection, unquote(urlsplit(url).path[1:]))
            finally:
                connection._force_close()

    def relation(self, feed: SqlTableSpec) -> str:
        """The feed's table; it is in the URL's database, unless the feed names another."""
        return quoted(*self._place(feed))

    @property
    def default_schema(self) -> str:
        """The URL's database."""
        return self._database

    def tables(
        self, relations: Collection[Relation], schemas: Collection[str]
    ) -> dict[Relation, FoundTable[FoundColumn]]:
        """What the catalog says of these tables, and of those of these databases."""
        return found_tables(self.rows, relations, schemas, self._database)

    def described(self, found: FoundColumn, zone: str) -> CatalogColumn:
        """How a contract would declare the column."""
        return described(found, zone)

    def columns(self, feed: SqlTableSpec) -> dict[str, FoundColumn]:
        """The columns of the feed's table, by name."""
        grant = f"GRANT SELECT ON {self.relation(feed)} to it"
        return readable_columns(self.tables([feed.relation], ()), feed, ".".join(self._place(feed)), grant)

    def reader(self, column: Column, found: FoundColumn) -> ColumnReader | str:
        """What reads the column."""
        return reader_for(column, found)

    def mark(self, found: FoundColumn) -> Mark | None:
        """Moments, dates and integers are watermarks; nulls, and moments like 0000-00-00, have no place in the
        order."""
        if found.builtin not in (*_MOMENTS, *INTEGERS):
            return None
        odd = [] if found.not_null else [f"{found.sql} IS NULL"]
        type_ = _MOMENTS.get(found.builtin)
        if type_ is None:
            number = "UNSIGNED" if found.unsigned else "SIGNED"
            return Mark(
                found.sql,
                text=lambda sql: f"CAST({sql} AS CHAR)",
                value=lambda text: f"CAST({literal(text)} AS {number})",
                odd=tuple(odd),
            )
        return Mark(
            found.sql,
            text=lambda sql: f"CAST({sql} AS CHAR)",
            value=lambda text: f"CAST({literal(text)} AS {type_})",
            earlier=lambda text, minutes: f"CAST({literal(text)} AS {type_}) - INTERVAL {minutes} MINUTE",
            odd=(*odd, f"{found.sql} < CAST('0001-01-01' AS {type_})"),
            is_place=_is_day,
        )

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        with told(), self.connection.cursor() as cursor:
            cursor.execute(query)
            return list(cursor.fetchall())

    @contextmanager
    def pages(self, query: str, readers: Sequence[ColumnReader]) -> Iterator[Iterator[FieldPage]]:
        """The rows of a query, streamed."""
        with told(), streamed(self.connection, query) as rows:
            yield self._pages(rows, readers)

    def _pages(self, found: Iterator[Rows], readers: Sequence[ColumnReader]) -> Iterator[FieldPage]:
        with told():
            for rows in found:
                yield FieldPage.read(readers, fields(rows, len(readers)), len(rows.starts))

    def _place(self, feed: SqlTableSpec) -> tuple[str, str]:
        """The database and the name of the feed's table."""
        schema, name = feed.relation
        if not schema and not self._database:
            raise Refused(
                f"{feed.name}: neither `from` nor the URL of the connection {feed.connection} names a database; write"
                f" from: <database>.{name}"
            )
        return schema or self._database, name


@contextmanager
def told() -> Iterator[None]:
    """Raises DatabaseFailed for what PyMySQL and its socket raise."""
    try:
        yield
    except pymysql.Error as error:
        code, said = error.args if len(error.args) == 2 else (None, first_line(error))
        raise DatabaseFailed(first_line(Exception(said)), passing=code in _PASSING) from None
    except OSError as error:
        raise DatabaseFailed(first_line(error), passing=True) from None


def _connected(url: str, application: str) -> Connection[Any]:
    parts = urlsplit(url)
    given = {name.lower(): values[-1] for name, values in parse_qs(parts.query).items()}
    connection = pymysql.connect(
        host=parts.hostname,
        port=parts.port or 3306,
        user=unquote(parts.username or ""),
        password=unquote(parts.password or "").encode(),  # PyMySQL would encode a text as latin1
        database=unquote(parts.path[1:]) or None,
        charset="utf8mb4",
        connect_timeout=CONNECT_SECONDS,
        program_name=application,
        ssl=_tls(given.get("ssl-mode", "").upper(), given.get("ssl-ca")),
    )
    for name, seconds in _KEEPALIVE.items():
        if hasattr(socket, name):
            connection._sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), seconds)
    return connection


def _tls(mode: str, authority: str | None) -> ssl.SSLContext | None:
    """What a TLS connection demands of the server; None: TLS only if the server offers it."""
    if mode not in ("REQUIRED", "VERIFY_CA", "VERIFY_IDENTITY"):
        return None
    context = ssl.create_default_context(cafile=authority)
    context.check_hostname = mode == "VERIFY_IDENTITY"
    context.verify_mode = ssl.CERT_NONE if mode == "REQUIRED" else ssl.CERT_REQUIRED
    return context


def _is_day(text: str) -> bool:
    """Whether a moment's date exists: 2026-02-00 may be in a table, and is no date to compare with."""
    try:
        date.fromisoformat(text[:10])
    except ValueError:
        return False
    return True
