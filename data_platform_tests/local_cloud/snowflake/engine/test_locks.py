"""The table locks by themselves."""

from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from data_platform.local_cloud.snowflake.engine.locks import (
    MAX_WAITERS,
    LockMode,
    LockTimeout,
    TableLocks,
    TooManyWaiters,
)

TABLE = ("DB", "S", "T")


@pytest.mark.parametrize(
    ("held", "wanted", "waits"),
    [
        (LockMode.APPEND, LockMode.APPEND, False),
        (LockMode.APPEND, LockMode.CHANGE, False),
        (LockMode.CHANGE, LockMode.APPEND, False),
        (LockMode.CHANGE, LockMode.CHANGE, True),
        (LockMode.DEFINE, LockMode.APPEND, True),
        (LockMode.APPEND, LockMode.DEFINE, True),
    ],
)
def test_only_statements_that_conflict_wait(held: LockMode, wanted: LockMode, waits: bool) -> None:
    locks = TableLocks(0.05)
    locks.acquire("one", TABLE, held)
    locks.acquire("one", TABLE, wanted)  # a session never waits for itself
    locks.release("one")
    locks.acquire("one", TABLE, held)
    if waits:
        with pytest.raises(LockTimeout, match=r"DB\.S\.T"):
            locks.acquire("two", TABLE, wanted)
    else:
        locks.acquire("two", TABLE, wanted)
    locks.acquire("two", ("DB", "S", "OTHER"), wanted)


def test_an_alteration_waits_for_every_session_that_holds_a_lock_and_they_wait_for_it() -> None:
    """DuckDB's transactions begin with the first lock, and can't write to what is altered after that."""
    locks = TableLocks(0.05)
    for mode in (LockMode.APPEND, LockMode.CHANGE, LockMode.DEFINE):
        for first, second in ((mode, LockMode.ALTER), (LockMode.ALTER, mode)):
            locks.acquire("one", ("DB", "S", "OTHER"), first)
            with pytest.raises(LockTimeout, match=r"DB\.S\.T"):
                locks.acquire("two", TABLE, second)
            locks.release("one")
            locks.acquire("two", TABLE, second)
            locks.release("two")


def test_only_sessions_that_hold_no_lock_yet_wait_for_an_alteration_that_waits() -> None:
    """Otherwise loads that follow one another would keep it waiting."""
    locks = TableLocks(30)
    locks.acquire("one", TABLE, LockMode.CHANGE)
    order: list[str] = []

    def acquire(owner: str, mode: LockMode) -> None:
        locks.acquire(owner, ("DB", "S", owner), mode)
        order.append(owner)
        time.sleep(0.1)
        locks.release(owner)

    with ThreadPoolExecutor(2) as sessions:
        sessions.submit(acquire, "alters", LockMode.ALTER)
        time.sleep(0.2)
        sessions.submit(acquire, "begins", LockMode.APPEND)
        time.sleep(0.2)
        locks.acquire("one", ("DB", "S", "OTHER"), LockMode.APPEND)
        assert order == []
        locks.release("one")
    assert order == ["alters", "begins"]


def test_a_waiting_session_goes_on_as_soon_as_the_lock_is_released() -> None:
    locks = TableLocks(30)
    locks.acquire("one", TABLE, LockMode.CHANGE)
    started = time.monotonic()
    threading.Timer(0.1, locks.release, ["one"]).start()
    locks.acquire("two", TABLE, LockMode.CHANGE)
    assert 0.05 < time.monotonic() - started < 5


def test_a_waiting_session_has_an_abandoned_one_rolled_back() -> None:
    asked: list[str] = []

    def free(owner: str) -> None:
        asked.append(owner)
        locks.release(owner)

    locks = TableLocks(5, free)
    locks.acquire("killed", TABLE, LockMode.CHANGE)
    locks.acquire("two", TABLE, LockMode.CHANGE)
    assert asked == ["killed"]


def test_no_more_than_twenty_statements_wait_for_one_table() -> None:
    """000625 (57014): the number of waiters for this lock exceeds the 20 statements limit."""
    locks = TableLocks(2)
    locks.acquire("holder", TABLE, LockMode.CHANGE)

    def refused(owner: int) -> type[Exception]:
        with pytest.raises((LockTimeout, TooManyWaiters)) as caught:
            locks.acquire(str(owner), TABLE, LockMode.CHANGE)
        assert caught.value.errno == 625
        return caught.type

    with ThreadPoolExecutor(MAX_WAITERS + 2) as sessions:
        refusals = Counter(sessions.map(refused, range(MAX_WAITERS + 2)))
    assert refusals == {LockTimeout: MAX_WAITERS, TooManyWaiters: 2}
    locks.release("holder")
    locks.acquire("later", TABLE, LockMode.CHANGE)
