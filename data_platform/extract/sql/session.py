"""Connects to PostgreSQL: one read-only transaction in UTC, which sees one state of the database."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import psycopg2

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

CONNECT_SECONDS = 15
RETRY_AFTER_SECONDS = (1.0, 4.0, 10.0)
_REFUSED = ("authentication failed", "does not exist", "no pg_hba.conf entry", "permission denied", "not permitted")
"""What a server says that another try won't change."""
# SET LOCAL also works through a pooler that gives each transaction another session.
# synchronize_seqscans: two reads of a table that didn't change give its rows in the same order.
_SETTINGS = {
    "timezone": "UTC",
    "datestyle": "ISO, YMD",
    "intervalstyle": "iso_8601",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "synchronize_seqscans": "off",
    "lock_timeout": "60s",
    "statement_timeout": "12h",
    "idle_in_transaction_session_timeout": "1h",
}

Result = TypeVar("Result")


class DatabaseFailed(Exception):
    """The database can't be reached, or broke off; the message says why, without the URL."""


def first_line(error: BaseException) -> str:
    """A driver's message in one line."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


@contextmanager
def transaction(url: str, application: str) -> Iterator[Connection]:
    """A connection in a read-only transaction of isolation level REPEATABLE READ. Raises psycopg2.OperationalError;
    DatabaseFailed for a URL that is none."""
    try:
        connection = psycopg2.connect(
            url,
            connect_timeout=CONNECT_SECONDS,
            application_name=application[:63],
            # A server that is gone is noticed within about a minute, also in the middle of a long read.
            keepalives_idle=30,
            keepalives_interval=10,
            keepalives_count=3,
        )
    except psycopg2.ProgrammingError:  # its message quotes parts of the URL
        raise DatabaseFailed("the connection's URL can't be read; percent-encode the user and password in it") from None
    try:
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        # A database that doesn't know its encoding would refuse to give bytes that aren't UTF-8, and end the read.
        raw = connection.info.parameter_status("server_encoding") == "SQL_ASCII"
        wanted = {**_SETTINGS, "client_encoding": "SQL_ASCII" if raw else "UTF8"}
        with connection.cursor() as cursor:
            cursor.execute("".join(f"SET LOCAL {name} = '{value}';" for name, value in wanted.items()))
        yield connection
    finally:
        connection.close()


def retried(begin: Callable[[], Result]) -> Result:
    """What `begin` returns. Calls it again, some seconds apart, while the server can't be reached. Raises
    DatabaseFailed."""
    for pause in RETRY_AFTER_SECONDS:
        try:
            return begin()
        except psycopg2.OperationalError as error:
            if any(word in str(error) for word in _REFUSED):
                raise DatabaseFailed(first_line(error)) from None
            time.sleep(pause)
    try:
        return begin()
    except psycopg2.OperationalError as error:
        raise DatabaseFailed(first_line(error)) from None
