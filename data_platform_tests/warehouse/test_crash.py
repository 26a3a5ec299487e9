"""A load that is cut off at any statement has done nothing or everything, and the next try completes it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from snowflake.connector import SnowflakeConnection
from snowflake.connector.cursor import SnowflakeCursor

from data_platform.environment import Settings
from data_platform.feeds.spec import LoadMode
from data_platform.warehouse.connection import connect
from data_platform_tests.warehouse.feed import Delivered, Feed


class Cut(Exception):
    """The fault that the test plants."""


@contextmanager
def cut_off(
    monkeypatch: pytest.MonkeyPatch, connection: SnowflakeConnection, at: int, after: bool
) -> Iterator[list[str]]:
    """Ends the session at statement number `at` (from 0), before or after it is carried out. Yields what was
    executed."""
    real = SnowflakeCursor.execute
    executed: list[str] = []

    def execute(cursor: SnowflakeCursor, command: str, *rest: Any, **options: Any) -> Any:
        if cursor.connection is not connection:
            return real(cursor, command, *rest, **options)
        reached = len(executed) == at
        executed.append(command)
        if reached and not after:
            connection.close()
            raise Cut
        answer = real(cursor, command, *rest, **options)
        if reached:
            connection.close()
            raise Cut
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(SnowflakeCursor, "execute", execute)
        yield executed


def prepared(feed: Feed, mode: LoadMode) -> list[Delivered]:
    """A feed with a delivery loaded, and two to load: a new version of it, and another with a reject."""
    feed.mode = mode
    feed.prepare()
    feed.load(feed.deliver("a.csv", {"m1": 1, "m2": 2}))
    return [feed.deliver("a.csv", {"m1": 10}), feed.deliver("b.csv", {"m3": 3}, rejects=1)]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("mode", ["append", "merge"])
def test_cut_off_at_any_statement_a_load_is_whole_or_not_there(
    lake: Any,
    cloud: Settings,
    connection: SnowflakeConnection,
    monkeypatch: pytest.MonkeyPatch,
    mode: LoadMode,
    after: bool,
) -> None:
    at = 0
    finished = False
    while not finished:
        feed = Feed(lake, connection)
        deliveries = prepared(feed, mode)
        broken = connect(cloud)
        with cut_off(monkeypatch, broken, at, after) as executed:
            try:
                feed.load(*deliveries, connection=broken)
                finished = True
            except Cut:
                pass
        if not broken.is_closed():
            broken.close()
        before = ({"m1": 1, "m2": 2}, {"loaded": 1}, 0)
        complete = ({"m1": 10, "m3": 3}, {"loaded": 2, "superseded": 1}, 1)
        count = "SELECT COUNT(*) FROM PLATFORM.REJECTS WHERE SOURCE = %s"
        found = (feed.rows(), feed.outcomes(), feed.query(count, feed.partner)[0][0])
        committed = "COMMIT" in executed[: at + after]
        assert found == (complete if committed or finished else before), executed
        feed.load(*deliveries)
        assert (feed.rows(), feed.outcomes(), feed.query(count, feed.partner)[0][0]) == complete
        at += 1
    assert at > 8  # statements were cut, the transaction's every one among them
