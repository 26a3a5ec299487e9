"""Opens the tables of databases that a run reads."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from data_platform.automation.feed_run import FeedRun
from data_platform.environment import settings
from data_platform.feeds.databases import SqlTableSpec

if TYPE_CHECKING:
    from data_platform.extract.sql.source import TableSource


def open_tables(run: FeedRun, feeds: Sequence[SqlTableSpec]) -> list[TableSource]:
    """A source for each table. A run that reads nothing, as to load extracts again, needs no connection."""
    from data_platform.extract.sql.source import TableSource  # the reader, which loading definitions doesn't need

    return [
        TableSource(feed, partial(settings().connection, feed.connection, feed.name), progress=run.progress)
        for feed in feeds
    ]
