"""How far a table goes by its watermark, and which rows are new. Values are compared by the database, as its texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from data_platform.extract.source import Refused
from data_platform.extract.sql.catalog import FoundColumn, quoted
from data_platform.feeds.databases import SqlTableSpec

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor

_MOMENTS = ("timestamptz", "timestamp", "date")


@dataclass(frozen=True)
class Window:
    """The rows of a read: from `since` (None: the first read) to `until`, both included, as texts of the column."""

    since: str | None
    until: str


def next_window(cursor: Cursor, feed: SqlTableSpec, column: FoundColumn, since: str | None) -> Window | None:
    """What is new after `since`, or None. An infinite watermark isn't how far a table goes: no later row would be
    read."""
    type_ = _type(feed, column)
    finite = f"WHERE {column.sql} < 'infinity'" if type_ in _MOMENTS else ""
    relation = quoted(*feed.relation)
    cursor.execute(
        f"SELECT last::text, %s IS NULL OR last > CAST(%s AS {type_})"
        f" FROM (SELECT max({column.sql}) AS last FROM {relation} {finite}) AS found",
        [since, since],
    )
    ((last, is_new),) = cursor.fetchall()
    return Window(since, last) if last is not None and is_new else None


def condition(cursor: Cursor, feed: SqlTableSpec, column: FoundColumn, window: Window) -> str:
    """The SQL condition of the window's rows. Rows whose watermark is null or infinite are in every window: they
    become rejects, where nobody would see that they are missing."""
    type_ = _type(feed, column)
    overlap = feed.watermark.overlap_minutes if feed.watermark else 0
    until = cursor.mogrify(f"{column.sql} <= CAST(%s AS {type_})", [window.until]).decode()
    if window.since is not None:
        less = f" - INTERVAL '{overlap} minutes'" if overlap else ""
        since = cursor.mogrify(f"CAST(%s AS {type_}){less}", [window.since]).decode()
        until = f"{column.sql} >= {since} AND {until}"
    odd = [] if column.not_null else [f"{column.sql} IS NULL"]
    odd += [f"{column.sql} IN ('infinity', '-infinity')"] if type_ in _MOMENTS else []
    return " OR ".join([f"({until})", *odd])


def _type(feed: SqlTableSpec, column: FoundColumn) -> str:
    if column.builtin in (*_MOMENTS, "int2", "int4", "int8"):
        return column.builtin
    raise Refused(
        f"{feed.name}: the watermark {column.name} is {column.type} in the database; expected a timestamp, a date or an"
        " integer"
    )
