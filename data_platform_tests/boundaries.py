"""Ends a piece of work between any two of its effects: requests to a service, writes to the lake, commits in the
warehouse. In this process by an exception, after which nothing that the work does has an effect; or by SIGKILL."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import obstore
import pytest
from snowflake.connector.cursor import SnowflakeCursor

from data_platform_tests.warehouse.in_process import InProcessCursor

_NO_EFFECTS = ("SELECT", "DESCRIBE", "SHOW", "CREATE OR REPLACE TEMPORARY", "DROP TABLE IF EXISTS")


class Killed(BaseException):
    """The process has ended: every further effect raises this too."""


def kill_process() -> None:
    """Ends the process as an operator's `kill -9` does."""
    os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def killed_before(effect: int | str | None, kill: Callable[[], None] = lambda: None) -> Iterator[list[str]]:
    """Ends the block before one of its effects: that of a number, from 0, or the first with a text. Yields the effects
    that came to pass. `kill`: what ends the process, in one of its own."""
    passed: list[str] = []
    lock = threading.Lock()
    in_transaction: set[Any] = set()

    dead = False

    def guarded(make: Callable[..., Any], name: Callable[..., str | None]) -> Callable[..., Any]:
        def either(*given: Any, **named: Any) -> Any:
            nonlocal dead
            what = name(*given, **named)
            with lock:
                if what is not None and not dead:
                    dead = effect in what if isinstance(effect, str) else effect == len(passed)
                if dead:
                    kill()
                    raise Killed
                if what is not None:
                    passed.append(what)
            return make(*given, **named)

        return either

    def statement(cursor: Any, sql: str, *_: Any, **__: Any) -> str | None:
        """A transaction's statements have their effect with its COMMIT; warehouse/test_crash.py cuts them apart."""
        session = cursor.session if isinstance(cursor, InProcessCursor) else cursor.connection
        within = session in in_transaction
        if sql == "BEGIN":
            in_transaction.add(session)
        elif sql == "COMMIT":
            in_transaction.discard(session)
            return sql
        return None if within or sql.startswith(_NO_EFFECTS) else sql

    def request(client: Any, sent: httpx.Request, **_: Any) -> str:
        return f"{sent.method} {sent.url}"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(httpx.Client, "send", guarded(httpx.Client.send, request))
        for cursor in (InProcessCursor, SnowflakeCursor):
            patch.setattr(cursor, "execute", guarded(cursor.execute, statement))
        for write in ("put", "delete"):
            make = getattr(obstore, write)
            patch.setattr(obstore, write, guarded(make, lambda *given, write=write, **_: f"{write} {given[1]}"))
        yield passed
