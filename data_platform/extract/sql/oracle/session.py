"""Connects to Oracle: one read-only transaction in UTC, which sees one state of the database."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

import oracledb
import pyarrow as pa

from data_platform.contract import Column
from data_platform.extract.sql.found import readable_columns
from data_platform.extract.sql.oracle.catalog import FoundColumn, found_tables, literal, quoted, stored, written
from data_platform.extract.sql.oracle.columns import (
    INSTANTS,
    WALL_TIMES,
    ArrowPage,
    ColumnReader,
    moment_text,
    number_text,
    reader_for,
)
from data_platform.extract.sql.oracle.described import described
from data_platform.extract.sql.system import DatabaseFailed, FoundTable, Mark, Relation, first_line
from data_platform.feeds.databases import SqlTableSpec
from data_platform.feeds.discovery import CatalogColumn

if TYPE_CHECKING:
    from oracledb import Connection

CONNECT_SECONDS = 15.0
ROWS_A_PAGE, LARGE_ROWS_A_PAGE = 20_000, 500
"""The rows that the driver fetches at once; fewer where one value may be large."""
_PASSING = frozenset(
    (
        *("ORA-00018", "ORA-00020", "ORA-01033", "ORA-01034", "ORA-01089", "ORA-01090", "ORA-01555", "ORA-03113"),
        *("ORA-03114", "ORA-03135", "ORA-12170", "ORA-12516", "ORA-12520", "ORA-12528", "ORA-12537", "ORA-12541"),
        *("DPY-4011", "DPY-4024", "DPY-6000", "DPY-6005"),
    )
)
"""The errors of a server that may answer another try: too many sessions, starting up or shutting down, a snapshot too
old, connection lost, no listener."""
_DATE, _MOMENT = "YYYY-MM-DD HH24:MI:SS", "YYYY-MM-DD HH24:MI:SS.FF9"
# A read-only transaction sees the state at its beginning. Unlike a flashback query, it needs no privilege.
_SETTINGS = (
    "ALTER SESSION SET TIME_ZONE = 'UTC'",
    f"ALTER SESSION SET NLS_DATE_FORMAT = '{_DATE}'",
    f"ALTER SESSION SET NLS_TIMESTAMP_FORMAT = '{_MOMENT}'",
    "ALTER SESSION SET NLS_NUMERIC_CHARACTERS = '.,'",
    "SET TRANSACTION READ ONLY",
)


class OracleSession:
    """A read-only transaction. `schema`: that of tables that are named without one. `state`: the system change number
    of the state that it reads, if not its own."""

    def __init__(self, connection: Connection, schema: str, state: str | None) -> None:
        self.connection = connection
        self._schema = schema
        self._state = state

    @classmethod
    @contextmanager
    def opened(cls, url: str, application: str, state: str | None = None) -> Iterator[OracleSession]:
        """A session of its own connection. `state`: what another session has exported, to be read here too."""
        with told():
            connection = _connected(url, application)
            try:
                with connection.cursor() as cursor:
                    for statement in _SETTINGS:
                        cursor.execute(statement)
                    cursor.execute("SELECT SYS_CONTEXT('USERENV', 'CURRENT_SCHEMA') FROM dual")
                    ((schema,),) = cursor.fetchall()
                yield cls(connection, schema, state)
            finally:
                connection.close()

    def relation(self, feed: SqlTableSpec) -> str:
        """The feed's table, which a query calls t."""
        return f"{self._named(feed)}{f' AS OF SCN {self._state}' if self._state else ''} t"

    @property
    def default_schema(self) -> str:
        """The user's schema."""
        return written(self._schema)

    def tables(
        self, relations: Collection[Relation], schemas: Collection[str]
    ) -> dict[Relation, FoundTable[FoundColumn]]:
        """What the catalog says of these tables, and of those of these schemas."""
        return found_tables(self.rows, relations, schemas, self._schema)

    def described(self, found: FoundColumn, zone: str) -> CatalogColumn:
        """How a contract would declare the column."""
        return described(found, zone)

    def columns(self, feed: SqlTableSpec) -> dict[str, FoundColumn]:
        """The columns of the feed's table, by name."""
        name = f"{feed.relation[0] or self.default_schema}.{feed.relation[1]}"
        grant = f"GRANT SELECT ON {self._named(feed)} to it"
        return readable_columns(self.tables([feed.relation], ()), feed, name, grant)

    def reader(self, column: Column, found: FoundColumn) -> ColumnReader | str:
        """What reads the column."""
        return reader_for(column, found)

    def parts(self, feed: SqlTableSpec) -> list[str]:
        """Rows by a hash of their address, if the feed declares parts: each part scans the table."""
        count = feed.parts or 1
        return [f"ORA_HASH(t.ROWID, {count - 1}) = {each}" for each in range(count)] if count > 1 else []

    def keys_state(self, feed: SqlTableSpec, columns: Sequence[str]) -> str:
        """The number of keys, and the sum of their hashes."""
        found = self.columns(feed)
        key = " || CHR(0) || ".join(found[column].sql for column in columns)
        ((count, hashes),) = self.rows(f"SELECT COUNT(*), SUM(ORA_HASH({key})) FROM {self.relation(feed)}")
        return f"{count} {hashes}"

    def exported(self) -> str:
        """A system change number. It can be read as long as the database keeps what was changed since."""
        ((number,),) = self.rows("SELECT DBMS_FLASHBACK.GET_SYSTEM_CHANGE_NUMBER FROM dual")
        return str(int(number))

    def mark(self, found: FoundColumn) -> Mark | None:
        """Moments and whole numbers are watermarks; nulls have no place in the order."""
        odd = () if found.not_null else (f"{found.sql} IS NULL",)
        if found.kind == "NUMBER" and found.scale == 0:
            return Mark(found.sql, number_text, lambda text: f"TO_NUMBER({literal(text)})", odd=odd)

        if found.kind == "DATE":
            return _moments(found.sql, odd, lambda sql: moment_text(sql, day=True), "TO_DATE({}, '" + _DATE + "')")
        if found.kind in WALL_TIMES:
            return _moments(found.sql, odd, moment_text, "TO_TIMESTAMP({}, '" + _MOMENT + "')")
        if found.kind in INSTANTS:
            value = "FROM_TZ(TO_TIMESTAMP({}, '" + _MOMENT + "'), 'UTC')"
            return _moments(found.sql, odd, lambda sql: moment_text(f"SYS_EXTRACT_UTC({sql})"), value)
        return None

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        with told(), self.connection.cursor() as cursor:
            cursor.execute(query)
            return list(cursor.fetchall())

    @contextmanager
    def pages(self, query: str, readers: Sequence[ColumnReader]) -> Iterator[Iterator[ArrowPage]]:
        """The rows of a query, fetched as Arrow. Closing the session ends it."""
        yield self._pages(query, readers)

    def _pages(self, query: str, readers: Sequence[ColumnReader]) -> Iterator[ArrowPage]:
        schema = pa.schema([(f"c{number}", reader.requested) for number, reader in enumerate(readers)])
        size = LARGE_ROWS_A_PAGE if any(reader.large for reader in readers) else ROWS_A_PAGE
        with told():
            for batch in self.connection.fetch_df_batches(query, size=size, requested_schema=schema):
                table = pa.table(batch)
                if table.num_rows:
                    yield ArrowPage(readers, table)

    def _named(self, feed: SqlTableSpec) -> str:
        schema, name = feed.relation
        return quoted(stored(schema) if schema else self._schema, stored(name))


def _moments(sql: str, odd: tuple[str, ...], text: Callable[[str], str], value: str) -> Mark:
    """A moment as a watermark. `value`: the SQL that reads such a text."""
    return Mark(
        sql,
        text,
        lambda given: value.format(literal(given)),
        lambda given, minutes: f"{value.format(literal(given))} - NUMTODSINTERVAL({minutes}, 'MINUTE')",
        odd,
    )


@contextmanager
def told() -> Iterator[None]:
    """Raises DatabaseFailed for what oracledb raises."""
    try:
        yield
    except oracledb.Error as error:
        said = error.args[0] if error.args else error
        raise DatabaseFailed(first_line(error), passing=getattr(said, "full_code", "") in _PASSING) from None


def _connected(url: str, application: str) -> Connection:
    parts = urlsplit(url)
    given = {name.lower(): values[-1] for name, values in parse_qs(parts.query).items()}
    return oracledb.connect(
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        host=parts.hostname,
        port=parts.port or 1521,
        service_name=unquote(parts.path[1:]),
        protocol=given.get("protocol", "tcp"),
        wallet_location=given.get("wallet_location"),
        ssl_server_cert_dn=given.get("ssl_server_cert_dn"),
        tcp_connect_timeout=CONNECT_SECONDS,
        expire_time=1,  # minutes, after which a server that is gone is noticed
        program=re.sub(r"[^A-Za-z0-9_./-]", ":", application),  # the driver refuses blanks and more
    )
