"""Table locks, because Snowflake waits where DuckDB raises a conflict.

Snowflake makes a transaction wait for the lock that UPDATE, DELETE and MERGE hold on a table until the other
transaction ends; INSERT and COPY mostly run side by side
(https://docs.snowflake.com/en/sql-reference/transactions#resource-locking). Sessions acquire locks before they start
their DuckDB transaction.

ALTER waits for every open transaction, and a transaction that begins meanwhile waits for ALTER. On Snowflake neither
waits, as DDL isn't isolated (https://docs.snowflake.com/en/user-guide/tables-iceberg-transactions#ddl-statements), but
a DuckDB transaction can't write to a table that was altered after the transaction began.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from enum import Enum

from snowflake.connector.errors import ProgrammingError

TableKey = tuple[str, str, str]

MAX_WAITERS = 20
_LOOK_EVERY_SECONDS = 1.0


class LockMode(Enum):
    """What a statement does to its table."""

    APPEND = "append"  # INSERT, COPY: compatible with APPEND and CHANGE
    CHANGE = "change"  # UPDATE, DELETE, MERGE, TRUNCATE: one transaction at a time
    DEFINE = "define"  # CREATE, DROP: alone, because DuckDB refuses to commit into a table that was replaced since
    ALTER = "alter"  # ALTER, COMMENT: alone in the whole account


_COMPATIBLE = {
    (LockMode.APPEND, LockMode.APPEND),
    (LockMode.APPEND, LockMode.CHANGE),
    (LockMode.CHANGE, LockMode.APPEND),
}


class LockTimeout(ProgrammingError):
    """Another transaction held a table's lock for longer than the statement may wait."""

    def __init__(self, table: TableKey, seconds: float) -> None:
        super().__init__(
            errno=625,
            sqlstate="57014",
            msg=f"waited {seconds:g} s for the lock on table {'.'.join(table)}; "
            "another transaction has changed it and has not yet committed or rolled back",
        )


class TooManyWaiters(ProgrammingError):
    """MAX_WAITERS statements wait for the table's lock already."""

    def __init__(self, table: TableKey) -> None:
        super().__init__(
            errno=625,
            sqlstate="57014",
            msg=f"Another statement has locked table '{'.'.join(table)}' and this lock has not yet been released. Your"
            " statement was aborted because the number of waiters for this lock exceeds the"
            f" {MAX_WAITERS} statements limit.",
        )


class TableLocks:
    """The locks of all sessions of one server. A waiting `acquire` calls `free_abandoned` every second for each session
    it waits for; that may roll the session back, which releases its locks."""

    def __init__(self, timeout_seconds: float, free_abandoned: Callable[[str], None] = lambda owner: None) -> None:
        self._timeout_seconds = timeout_seconds
        self._free_abandoned = free_abandoned
        self._changed = threading.Condition()
        self._held: dict[TableKey, dict[str, set[LockMode]]] = defaultdict(dict)
        self._waiting: set[tuple[str, TableKey, LockMode]] = set()

    def acquire(self, owner: str, table: TableKey, mode: LockMode) -> None:
        """Wait until `owner` may use `table` in `mode`, then hold it until `release(owner)`.

        Raises TooManyWaiters at once, and LockTimeout, also where two transactions wait for each other.
        """
        with self._changed:
            if any(self._blockers(owner, table, mode)):
                if sum(wanted == table for _, wanted, _ in self._waiting) >= MAX_WAITERS:
                    raise TooManyWaiters(table)
                self._waiting.add((owner, table, mode))
                try:
                    self._wait(owner, table, mode)
                finally:
                    self._waiting.remove((owner, table, mode))
            self._held[table].setdefault(owner, set()).add(mode)

    def _wait(self, owner: str, table: TableKey, mode: LockMode) -> None:
        deadline = time.monotonic() + self._timeout_seconds
        while blockers := list(self._blockers(owner, table, mode)):
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise LockTimeout(table, self._timeout_seconds)
            self._changed.wait(min(remaining, _LOOK_EVERY_SECONDS))
            for blocker in blockers:
                self._free_abandoned(blocker)

    def release(self, owner: str) -> None:
        """Release every lock that `owner` holds."""
        with self._changed:
            for table in [t for t, holders in self._held.items() if owner in holders]:
                del self._held[table][owner]
                if not self._held[table]:
                    del self._held[table]
            self._changed.notify_all()

    def _blockers(self, owner: str, table: TableKey, mode: LockMode) -> Iterator[str]:
        if mode is not LockMode.ALTER and not any(owner in holders for holders in self._held.values()):
            yield from (waiter for waiter, _, wanted in self._waiting if wanted is LockMode.ALTER)
        for locked, holders in self._held.items():
            for holder, modes in holders.items():
                near = {held for held in modes if locked == table or LockMode.ALTER in (mode, held)}
                if holder != owner and any((mode, held) not in _COMPATIBLE for held in near):
                    yield holder
