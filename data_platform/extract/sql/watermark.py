"""How far a table goes by its watermark, and which rows are new. Values are compared by the database, as its texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from data_platform.extract.source import Refused
from data_platform.extract.sql.system import FoundColumn, Mark, Session
from data_platform.feeds.databases import SqlTableSpec


@dataclass(frozen=True)
class Window:
    """The rows of a read: from `since` (None: the first read) to `until`, both included, as texts of the column."""

    since: str | None
    until: str


def mark_of(session: Session[Any, Any], feed: SqlTableSpec, found: Mapping[str, FoundColumn]) -> Mark:
    """How the feed's watermark is compared. Raises Refused if it can't be."""
    column = found[feed.contract.column(feed.watermark.column if feed.watermark else "").header]
    mark = session.mark(column)
    if mark is None:
        raise Refused(
            f"{feed.name}: the watermark {column.name} is {column.type} in the database; expected a timestamp, a date"
            " or an integer"
        )
    return mark


def next_window(session: Session[Any, Any], feed: SqlTableSpec, mark: Mark, since: str | None) -> Window | None:
    """What is new after `since`, or None. An odd watermark isn't how far a table goes: no later row would be read."""
    ordered = f" WHERE NOT ({' OR '.join(mark.odd)})" if mark.odd else ""
    newest = f"SELECT max({mark.sql}) AS newest FROM {session.relation(feed)}{ordered}"
    new = "1" if since is None else f"CASE WHEN newest > {mark.value(since)} THEN 1 ELSE 0 END"
    ((until, is_new),) = session.rows(f"SELECT {mark.text('newest')}, {new} FROM ({newest}) found")
    if until is None or not is_new:
        return None
    until = str(until)
    if not mark.is_place(until):
        raise Refused(
            f"{feed.name}: the newest watermark is {until}, which is no date, so that nothing can be compared with it;"
            " correct that row in the database"
        )
    return Window(since, until)


def condition(feed: SqlTableSpec, mark: Mark, window: Window) -> str:
    """The SQL condition of the window's rows. Odd rows are in every window: they become rejects, where nobody would see
    that they are missing."""
    wanted = f"{mark.sql} <= {mark.value(window.until)}"
    if window.since is not None:
        overlap = feed.watermark.overlap_minutes if feed.watermark else 0
        begin = mark.earlier(window.since, overlap) if overlap else mark.value(window.since)
        wanted = f"{mark.sql} >= {begin} AND {wanted}"
    return " OR ".join([f"({wanted})", *mark.odd])
