"""Feeds that were renamed or removed: code that still has the old name must not begin their tables anew."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from data_platform.feeds.spec import FeedSpec
from data_platform.warehouse.platform import retired_feeds

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection
    from snowflake.connector.cursor import SnowflakeCursor


class FeedRetired(Exception):
    """The feed was renamed or removed. The message says what to do."""


def retire(cursor: SnowflakeCursor, database: str, source: str, table: str, became: str | None) -> None:
    """Records that the feed was renamed, or (None) removed, in the caller's transaction."""
    revive(cursor, database, [(source, table)])
    cursor.execute(
        f"INSERT INTO {retired_feeds(database).sql} (SOURCE, TABLE_NAME, BECAME) SELECT %s, %s, %s",
        [source, table, became],
    )


def revive(cursor: SnowflakeCursor, database: str, feeds: Iterable[tuple[str, str]]) -> None:
    """Lets feeds be loaded whose names were retired."""
    for source, table in feeds:
        cursor.execute(
            f"DELETE FROM {retired_feeds(database).sql} WHERE SOURCE = %s AND TABLE_NAME = %s", [source, table]
        )


def became(cursor: SnowflakeCursor, database: str, source: str, table: str) -> tuple[str | None] | None:
    """What a retired feed was renamed to (None: it was removed), in a tuple; None if the feed isn't retired."""
    cursor.execute(
        f"SELECT BECAME FROM {retired_feeds(database).sql} WHERE SOURCE = %s AND TABLE_NAME = %s", [source, table]
    )
    found = cursor.fetchall()
    return (found[0][0],) if found else None


def require_in_use(connection: SnowflakeConnection, database: str, feed: FeedSpec) -> None:
    """Raises FeedRetired if the feed was renamed or removed."""
    with connection.cursor() as cursor:
        retired = became(cursor, database, feed.source, feed.table)
    if retired is None:
        return
    what = f"renamed to {feed.source}/{retired[0]}" if retired[0] else "removed"
    raise FeedRetired(
        f"{feed.name} was {what}, and this run's code still has it. Nothing is loaded until the changed YAML is served"
        f" (`data-platform check` shows what may keep it from being). If this is another feed of that name, run"
        f" `data-platform schema apply {feed.name}`"
    )
