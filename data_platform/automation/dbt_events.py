"""Turns a dbt process's messages into Dagster events, with the columns, column lineage and row counts of built models.
Stops dbt when the run is stopped, or when dbt hangs.

dagster-dbt's own `fetch_column_metadata().fetch_row_counts()` waits for dbt in two nested loops that don't sleep (seen
in 0.29.27), which doubles the CPU seconds of a build.
"""

from __future__ import annotations

import logging
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any, NamedTuple

import dagster as dg

from data_platform.warehouse.describe import count_rows, read_column_types

if TYPE_CHECKING:
    from dagster_dbt import DbtCliEventMessage, DbtCliInvocation
    from snowflake.connector import SnowflakeConnection

WARN_SECONDS = 300.0
"""The run's log warns when dbt has written nothing for this long."""
SILENT_SECONDS = 4200.0
"""The run stops dbt when it has written nothing for this long: no statement takes longer than an hour."""
STOP_SECONDS = 25.0
"""How long dbt may take to cancel its statements after an interrupt."""
_POLL_SECONDS = 1.0


class DbtSilent(Exception):
    """dbt wrote nothing for so long that it must hang. The run stopped it."""


class _Over(NamedTuple):
    error: BaseException | None


def events_of(
    invocation: DbtCliInvocation,
    log: logging.Logger,
    connect: Callable[[], SnowflakeConnection],
    *,
    silent_seconds: float = SILENT_SECONDS,
) -> Iterator[Any]:
    """Yields Dagster events as dbt reports them. Once the first model is built, `connect` opens the session that reads
    columns and counts rows. Stops dbt if the caller stops. Raises DbtSilent, and dagster-dbt's error if dbt fails."""
    tables = _BuiltTables(invocation, log, connect)
    try:
        for message in _messages(invocation, log, silent_seconds):
            yield from tables.events(message)
    finally:
        end(invocation.process)
        tables.close()


def _messages(invocation: DbtCliInvocation, log: logging.Logger, silent_seconds: float) -> Iterator[DbtCliEventMessage]:
    """dbt's messages. Another thread reads them, so that this one can notice silence and interrupts."""
    found: SimpleQueue[Any] = SimpleQueue()

    def read() -> None:
        error: BaseException | None = None
        try:
            for message in invocation.stream_raw_events():
                found.put(message)
        except BaseException as raised:  # the run's own thread raises it again
            error = raised
        found.put(_Over(error))

    Thread(target=read, name="dbt-events", daemon=True).start()
    dbt_log = invocation.target_path / "dbt.log"
    heard = warned = time.monotonic()
    while True:
        try:
            message = found.get(timeout=_POLL_SECONDS)
        except Empty:
            now = time.monotonic()
            silent = min(now - heard, _seconds_since(dbt_log))
            if silent > silent_seconds:
                raise DbtSilent(f"dbt wrote nothing for {silent:.0f} s, so the run stopped it; see {dbt_log}") from None
            if silent > WARN_SECONDS and now - warned > WARN_SECONDS:
                warned = now
                log.warning(f"dbt has written nothing for {silent:.0f} s; its log is {dbt_log}")
            continue
        heard = time.monotonic()
        if isinstance(message, _Over):
            if message.error is not None:
                raise message.error
            return
        yield message


class _BuiltTables:
    """Adds each built table's columns and row count, read from Snowflake in one session per build, to its events."""

    def __init__(
        self, invocation: DbtCliInvocation, log: logging.Logger, connect: Callable[[], SnowflakeConnection]
    ) -> None:
        self._invocation = invocation
        self._log = log
        self._connect = connect
        self._connection: SnowflakeConnection | None = None
        self._types: dict[str, dict[str, str]] = {}

    def events(self, message: DbtCliEventMessage) -> Iterator[Any]:
        """The message's events. If Snowflake can't be queried, they lack columns and row count, and the log says
        why."""
        events = list(self._to_events(message))
        if not any(isinstance(event, dg.Output | dg.AssetMaterialization) for event in events):
            yield from events
            return
        node = self._invocation.manifest["nodes"][message.raw_event["data"]["node_info"]["unique_id"]]
        counted: dict[str, Any] = {}
        try:
            message = replace(message, event_history_metadata=self._columns(node))
            if node["config"]["materialized"] != "view":  # counting a view would run it
                counted = {
                    "dagster/row_count": count_rows(self._session(), node["relation_name"]),
                    "dagster/storage_kind": "snowflake",
                }
            events = list(self._to_events(message))
        except Exception as error:
            self.close()
            self._log.warning(f"can't read the columns and row count of {node['relation_name']}: {error}")
        for event in events:
            yield event.with_metadata({**(event.metadata or {}), **counted})

    def close(self) -> None:
        """Ends the session."""
        if self._connection is not None:
            with suppress(Exception):  # a broken session ends by itself
                self._connection.close()
            self._connection = None

    def _to_events(self, message: DbtCliEventMessage) -> Iterator[Any]:
        invocation = self._invocation
        return message.to_default_asset_events(
            manifest=invocation.manifest,
            dagster_dbt_translator=invocation.dagster_dbt_translator,
            context=invocation.context,
            target_path=invocation.target_path,
            project=invocation.project,
        )

    def _columns(self, node: dict[str, Any]) -> dict[str, Any]:
        """The columns of a built model and of its parents, as dagster-dbt's macro `log_column_level_metadata` reports
        them. dagster-dbt derives the table schema and column lineage from them."""
        manifest = self._invocation.manifest
        parents = [
            manifest["nodes"].get(unique_id) or manifest["sources"][unique_id]
            for unique_id in node["depends_on"]["nodes"]
        ]
        return {
            "columns": self._columns_of(node),
            "parents": {
                parent["relation_name"]: {"columns": self._columns_of(parent)}
                for parent in parents
                if parent.get("relation_name")  # an ephemeral model has no table
            },
        }

    def _columns_of(self, node: dict[str, Any]) -> dict[str, dict[str, Any]]:
        relation = node["relation_name"]
        if relation not in self._types:
            self._types[relation] = read_column_types(self._session(), relation)
        texts = {name.lower(): column.get("description") or None for name, column in node["columns"].items()}
        return {
            name: {"data_type": data_type, "description": texts.get(name)}
            for name, data_type in self._types[relation].items()
        }

    def _session(self) -> SnowflakeConnection:
        self._connection = self._connection or self._connect()
        return self._connection


def end(process: subprocess.Popen[bytes]) -> None:
    """Interrupts a running dbt process, so that it cancels its statements. Kills it after STOP_SECONDS."""
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGINT)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _seconds_since(file: Path) -> float:
    """Seconds since the file was last written; infinite if it doesn't exist."""
    try:
        return time.time() - file.stat().st_mtime
    except FileNotFoundError:
        return float("inf")
