"""A load that finds too many others waiting for its feed's lock. No server is needed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from snowflake.connector.errors import ProgrammingError

from data_platform.warehouse import load_lock
from data_platform.warehouse.connection import SESSION_PARAMETERS
from data_platform.warehouse.load_lock import LONGEST_PAUSE_SECONDS, take_lock
from data_platform.warehouse.table import TableRef

LOCK = TableRef("DATA_PLATFORM", "PLATFORM", "LOAD_LOCK_00")
CROWDED = "Your statement was aborted because the number of waiters for this lock exceeds the 20 statements limit."


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses between tries, in seconds. They pass at once."""
    made: list[float] = []
    monkeypatch.setattr(load_lock.time, "sleep", made.append)
    monkeypatch.setattr(load_lock.time, "monotonic", lambda: sum(made))
    return made


def refused(times: float, message: str = CROWDED) -> Callable[[str, object], None]:
    tries: list[str] = []

    def execute(sql: str, _: object) -> None:
        tries.append(sql)
        if len(tries) <= times:
            raise ProgrammingError(msg=message, errno=625, sqlstate="57014")

    return execute


def test_a_load_that_is_one_waiter_too_many_tries_again_after_ever_longer_pauses(pauses: list[float]) -> None:
    take_lock(refused(7), LOCK, "run")
    longest = [1, 2, 4, 8, 16, LONGEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS]
    assert all(most / 2 <= pause <= most for pause, most in zip(pauses, longest, strict=True))


def test_it_gives_up_when_a_waiting_statement_would(pauses: list[float]) -> None:
    with pytest.raises(ProgrammingError, match="20 statements limit"):
        take_lock(refused(float("inf")), LOCK, "run")
    limit = SESSION_PARAMETERS["LOCK_TIMEOUT"]
    assert limit - LONGEST_PAUSE_SECONDS <= sum(pauses) <= limit


def test_a_lock_that_was_waited_for_in_vain_fails_the_load_at_once(pauses: list[float]) -> None:
    with pytest.raises(ProgrammingError, match="waited"):
        take_lock(refused(1, "waited 3000 s for the lock"), LOCK, "run")
    assert pauses == []
