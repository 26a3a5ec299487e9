"""One signed-in session: its current database, schema and role, and its transaction.

A DuckDB transaction starts at the first statement that writes, after it holds its table's lock. Until then each SELECT
sees the latest commit, which is Snowflake's READ COMMITTED. After that, SELECTs see other tables as they were at the
first write; there this stand-in differs from Snowflake.
"""

from __future__ import annotations

import itertools
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

import duckdb
from fakesnow.conn import FakeSnowflakeConnection

from data_platform.local_cloud.snowflake.dialect.errors import error
from data_platform.local_cloud.snowflake.engine.instance import LocalSnowflake
from data_platform.local_cloud.snowflake.engine.locks import LockMode, TableKey

T = TypeVar("T")

TIME_ZONE = "America/Los_Angeles"
"""TIMEZONE's default (https://docs.snowflake.com/en/sql-reference/parameters#timezone)."""

_session_numbers = itertools.count(1)


@dataclass
class SessionContext:
    """Who is signed in, and the session's parameters."""

    account: str = "LOCAL"
    user: str = ""
    role: str | None = None
    warehouse: str | None = None
    parameters: dict[str, Any] = field(default_factory=dict)


class Session(FakeSnowflakeConnection):
    """A FakeSnowflakeConnection that keeps transactions the way Snowflake documents them."""

    def __init__(
        self, instance: LocalSnowflake, database: str | None, schema: str | None, context: SessionContext
    ) -> None:
        super().__init__(
            instance.duck_conn.cursor(),
            instance.results_cache,
            database,
            schema,
            create_database=instance.create_database_on_connect,
            create_schema=instance.create_schema_on_connect,
            db_path=instance.db_path,
        )
        if database:
            instance.prepare_database(database.upper())
            if schema is None:
                self.use_schema(database.upper(), "PUBLIC")
        self.instance = instance
        self.context = context
        self.number = next(_session_numbers)
        self.token = secrets.token_urlsafe(32)
        self.busy = threading.RLock()
        self.autocommits = True
        self.in_transaction = False  # between BEGIN and COMMIT, or after the first write without autocommit
        self.temporary: dict[TableKey, str] = {}
        self.idle_since = time.monotonic()
        self.abandoned = False  # rolled back by `abandon`; the client's next statement reports it
        instance.abandon[self.token] = self.abandon
        self._writing = False  # DuckDB's transaction has started
        self.apply_time_zone()

    @property
    def time_zone(self) -> str:
        """The parameter TIMEZONE: the zone of timestamps that name none."""
        return str(self.context.parameters.get("TIMEZONE", TIME_ZONE))

    def apply_time_zone(self) -> None:
        """Give DuckDB the parameter TIMEZONE. A TIMESTAMP_TZ stays an instant there and keeps no offset of its own."""
        self.duck.execute("SET TimeZone = '{}'".format(self.time_zone.replace("'", "''")))

    @property
    def duck(self) -> duckdb.DuckDBPyConnection:
        return self._duck_conn

    def use_schema(self, database: str, schema: str) -> None:
        """Make an existing schema the current one."""
        self.duck.execute("SET schema = '{}'".format(f"{database}.{schema}".replace("'", "''")))
        self.database, self._schema = database, schema
        self.database_set = self.schema_set = True

    def begin(self) -> None:
        """BEGIN. A second BEGIN within a transaction is ignored, as Snowflake does."""
        self.in_transaction = True

    def commit_transaction(self) -> None:
        """COMMIT; outside a transaction, nothing."""
        try:
            if self._writing:
                try:
                    self.duck.execute("COMMIT")
                except duckdb.Error:
                    with suppress(duckdb.Error):
                        self.duck.execute("ROLLBACK")
                    raise
        finally:
            self._end()

    def rollback_transaction(self) -> None:
        """ROLLBACK; outside a transaction, nothing."""
        try:
            if self._writing:
                with suppress(duckdb.TransactionException):
                    self.duck.execute("ROLLBACK")
        finally:
            self._end()

    def write(self, table: TableKey | None, mode: LockMode, statement: Callable[[], T]) -> T:
        """Run a DML statement under its table's lock, in the open transaction or in one of its own."""
        if not self.autocommits:
            self.in_transaction = True
        if table:
            self.instance.locks.acquire(self.token, table, mode)
        started = False
        try:
            if self.in_transaction and not self._writing:
                self.duck.execute("BEGIN TRANSACTION")
                self._writing = started = True
            result = statement() if self._writing else self._alone(statement)
            if table:
                self.instance.times.note_altered(table)
            return result
        except Exception:
            if started:
                # Nothing was written yet, so the transaction can stay open, as it does on Snowflake.
                with suppress(duckdb.Error):
                    self.duck.execute("ROLLBACK")
                self._writing = False
                self.instance.locks.release(self.token)
            raise
        finally:
            if not self.in_transaction:
                self.instance.locks.release(self.token)

    def define(self, table: TableKey | None, mode: LockMode, statement: Callable[[], T]) -> T:
        """Run a DDL statement under its table's lock. It commits the open transaction and is a transaction of its own.

        See https://docs.snowflake.com/en/sql-reference/transactions#ddl.
        """
        self.commit_transaction()
        if table:
            self.instance.locks.acquire(self.token, table, mode)
        try:
            return self._alone(statement)
        finally:
            self.instance.locks.release(self.token)

    def abandon(self, idle_seconds: float) -> None:
        """Roll back a transaction whose client has been silent for that long; `raise_if_abandoned` reports it.

        Snowflake does so when a transaction that has been idle for five minutes blocks another
        (https://docs.snowflake.com/en/sql-reference/transactions#aborting-transactions).
        """
        if not self.busy.acquire(blocking=False):
            return
        try:
            if self.in_transaction and time.monotonic() - self.idle_since > idle_seconds:
                self.rollback_transaction()
                self.abandoned = True
        finally:
            self.busy.release()

    def raise_if_abandoned(self, text: str) -> None:
        """Fail the first statement after `abandon`, unless it is ROLLBACK: a COMMIT must not seem to succeed."""
        if self.abandoned:
            self.abandoned = False
            if text.strip().rstrip(";").upper() != "ROLLBACK":
                raise error(90232, "25000", "The transaction was idle while others waited for it, and was rolled back.")

    def end(self) -> None:
        """Roll back the open transaction and close the session."""
        self.instance.abandon.pop(self.token, None)
        with self.busy:
            self.rollback_transaction()
            with suppress(duckdb.Error):
                self.close()

    def _alone(self, statement: Callable[[], T]) -> T:
        """Run a statement that is its own transaction. Retry it on DuckDB's conflicts."""
        attempt = 0
        while True:
            try:
                return statement()
            except (duckdb.TransactionException, duckdb.ResourceInUseException) as exc:
                attempt += 1
                if attempt > 20 or "onflict" not in str(exc):
                    raise
                threading.Event().wait(0.02 * attempt)

    def _end(self) -> None:
        self._writing = False
        self.in_transaction = False
        self.instance.locks.release(self.token)
