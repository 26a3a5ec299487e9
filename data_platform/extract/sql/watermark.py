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
    finite = f" WHERE {column.sql} < 'infinity'" if type_ in _MOMENTS else ""
    is_new = "TRUE" if since is None else f"last > {_value(cursor, since, type_)}"
    found = f"SELECT max({column.sql}) AS last FROM {quoted(*feed.relation)}{finite}"
    cursor.execute(f"SELECT last::text, {is_new} FROM ({found}) found")
    ((last, new),) = cursor.fetchall()
    return Window(since, last) if last is not None and new else None


def condition(cursor: Cursor, feed: SqlTableSpec, column: FoundColumn, window: Window) -> str:
    """The SQL condition of the window's rows. Rows whose watermark is null or infinite are in every window: they
    become rejects, where nobody would see that they are missing."""
    type_ = _type(feed, column)
    overlap = feed.watermark.overlap_minutes if feed.watermark else 0
    wanted = f"{column.sql} <= {_value(cursor, window.until, type_)}"
    if window.since is not None:
        less = f" - INTERVAL '{overlap} minutes'" if overlap else ""
        wanted = f"{column.sql} >= {_value(cursor, window.since, type_)}{less} AND {wanted}"
    odd = [] if column.not_null else [f"{column.sql} IS NULL"]
    odd += [f"{column.sql} IN ('infinity', '-infinity')"] if type_ in _MOMENTS else []
    return " OR ".join([f"({wanted})", *odd])


def _value(cursor: Cursor, text: str, type_: str) -> str:
    """A literal. Not a parameter of the statement: a column's name may have a `%` in it."""
    return f"CAST({cursor.mogrify('%s', [text]).decode()} AS {type_})"


def _type(feed: SqlTableSpec, column: FoundColumn) -> str:
    if column.builtin in (*_MOMENTS, "int2", "int4", "int8"):
        return column.builtin
    raise Refused(
        f"{feed.name}: the watermark {column.name} is {column.type} in the database; expected a timestamp, a date or an"
        " integer"
    )
