"""A database's catalog as declarations, whichever system it is."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from data_platform.contract import column_name
from data_platform.extract.sql.system import DatabaseFailed, FoundTable, Relation, Session, retried, system_of
from data_platform.feeds.databases import DatabaseDeclaration, SqlTableSpec
from data_platform.feeds.discovery import CatalogTable, Found, Wanted, changes


def read_catalog(declaration: DatabaseDeclaration, url: str, feeds: Sequence[SqlTableSpec], wanted: Wanted) -> Found:
    """What the database's catalog says of the tables of the feeds, and of those that are wanted. Raises
    DatabaseFailed."""

    def read() -> Found:
        with system_of(url).session(url, "data-platform discover") as session:
            return _found(session, declaration.time_zone, feeds, wanted)

    try:
        return retried(read)
    except DatabaseFailed as error:
        raise DatabaseFailed(f"the connection {declaration.connection}: {error}") from None


def _found(session: Session[Any, Any], zone: str, feeds: Sequence[SqlTableSpec], wanted: Wanted) -> Found:
    asked = {name: _relation(name) for name in wanted.tables}
    tables = session.tables([*(feed.relation for feed in feeds), *asked.values()], wanted.schemas)
    there = [feed for feed in feeds if feed.relation in tables]
    found = [catalog_table(session, tables[feed.relation], zone, feed.table) for feed in there]
    declared = {(table.schema, table.name) for table in (tables[feed.relation] for feed in there)}
    new = {(table.schema, table.name): table for table in tables.values()}
    for place, table in new.items():
        if place not in declared and table.readable:
            found.append(catalog_table(session, table, zone))
    schemas = {schema for schema, _ in new}
    notes = [
        *(
            f"{feed.from_ or feed.table}, which {feed.name} reads, is not in the database; remove the feed"
            for feed in feeds
            if feed.relation not in tables
        ),
        *(f"there is no table {name} in the database" for name, relation in asked.items() if relation not in tables),
        *(f"no table is in the schema {schema}" for schema in wanted.schemas if schema not in schemas),
        *(
            f"{'.'.join(place)} is left out: the connection's user may not read it"
            for place, table in new.items()
            if not table.readable
        ),
    ]
    return Found(tuple(found), tuple(notes))


class CatalogOnce:
    """The catalog of the tables that a run reads of one database. It is read once, when it is first asked for, by one
    connection. `url` returns the database's URL."""

    def __init__(self, url: Callable[[], str]) -> None:
        self._feeds: list[SqlTableSpec] = []
        self._url = url
        self._lock = threading.Lock()
        self._tables: dict[str, CatalogTable] | None = None

    def add(self, feed: SqlTableSpec) -> None:
        """Has the feed's table read with the others. Call it before `changes`."""
        self._feeds.append(feed)

    def changes(self, feed: SqlTableSpec) -> list[str]:
        """In what a feed's table differs from its contract. Raises DatabaseFailed and SettingsError."""
        with self._lock:
            if self._tables is None:
                self._tables = retried(self._read)
        table = self._tables.get(feed.table)
        if table is None:
            return [f"there is no table {feed.from_ or feed.table}, or its user may not read it"]
        found = changes(feed.contract, table)
        return [each.told for each in found if each.told and (each.what, feed.contract.drift) != ("added", "ignore")]

    def _read(self) -> dict[str, CatalogTable]:
        url = self._url()
        with system_of(url).session(url, "data-platform catalog") as session:
            tables = session.tables([feed.relation for feed in self._feeds], ())
            return {
                feed.table: catalog_table(session, tables[feed.relation], feed.time_zone, feed.table)
                for feed in self._feeds
                if feed.relation in tables and tables[feed.relation].readable
            }


def catalog_table(
    session: Session[Any, Any], table: FoundTable[Any], zone: str, feed: str | None = None
) -> CatalogTable:
    """A table as declarations see it. `feed`: the declared table that reads it. `zone`: of times without a zone. A
    column that the user may not read is left out."""
    name, feeds_name = f"{table.schema}.{table.name}", column_name(table.name)
    own = table.schema == session.default_schema and feeds_name == table.name
    return CatalogTable(
        feed,
        name,
        feeds_name,
        tuple(session.described(column, zone) for column in table.columns.values() if column.readable),
        {} if own else {"from": name},
        table.comment or "",
        tuple(table.keys),
    )


def _relation(name: str) -> Relation:
    schema, _, table = name.rpartition(".")
    return schema or None, table
