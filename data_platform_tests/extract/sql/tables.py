"""Feeds of a database's tables, and reading them without an engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa

from data_platform.contract import Contract
from data_platform.extract.source import Position, Slice
from data_platform.extract.sql.source import TableSource
from data_platform.feeds.databases import SqlTableSpec


def table_feed(columns: Mapping[str, str | dict[str, Any]], **given: Any) -> SqlTableSpec:
    """A feed of the table `t`. `columns`: {name: type, or what the YAML says of it}."""
    declared = [{"name": name, **({"type": said} if isinstance(said, str) else said)} for name, said in columns.items()]
    contract = {"columns": declared, **{key: given.pop(key) for key in ("key", "drift") if key in given}}
    return SqlTableSpec.of({"source": "records", "table": "t", "connection": "records", "contract": contract, **given})


@dataclass(frozen=True)
class Read:
    """What a read gave."""

    slice: Slice
    contract: Contract
    rows: pa.Table
    rejects: list[dict[str, Any]]
    position: Position
    chunks: int

    @property
    def values(self) -> list[tuple[Any, ...]]:
        return [tuple(row.values()) for row in self.rows.to_pylist()]


class HasUrl(Protocol):
    """A database, of any system."""

    @property
    def url(self) -> str: ...


def read(database: HasUrl, feed: SqlTableSpec, since: Position | None = None) -> Read | None:
    """Plans and reads the next slice; None if there is nothing new."""
    source = TableSource(feed, lambda: database.url)
    for slice_ in source.plan(since=since, partition=None, unfinished=()):
        with source.open(slice_) as reading:
            chunks = list(reading.chunks())
            schema = reading.contract.arrow_schema
            rejects = [row for chunk in chunks if chunk.rejects for row in chunk.rejects.to_pylist()]
            rows = pa.Table.from_batches([chunk.rows for chunk in chunks], schema)
            return Read(slice_, reading.contract, rows, rejects, reading.position(), len(chunks))
    return None


def must_read(database: HasUrl, feed: SqlTableSpec, since: Position | None = None) -> Read:
    found = read(database, feed, since)
    assert found is not None
    return found
