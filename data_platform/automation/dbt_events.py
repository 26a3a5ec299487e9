"""What a dbt process tells, in a way that a run can be stopped while it builds, and that a dbt that hangs is ended.

dagster-dbt's iterators wait for dbt in pools of threads (seen in 0.29.27). A run that is stopped would wait for these
pools, and for good: the interrupt may strike while the waiting itself holds a future's lock, and dbt, which nobody
tells to stop, would build on. So they are read in a thread that nobody waits for.
"""

from __future__ import annotations

import logging
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from dagster_dbt import DbtCliInvocation

TOLD_SECONDS = 300.0
"""A dbt that has been silent for so long is spoken of in the run's log."""
SILENT_SECONDS = 4200.0
"""A dbt that has been silent for so long is ended: no statement takes longer than an hour (warehouse/connection.py)."""
STOP_SECONDS = 25.0
"""How long dbt may take to cancel what it runs, when it is told to stop."""
_POLL_SECONDS = 1.0


class DbtSilent(Exception):
    """dbt has said nothing for so long that it must hang; it was ended."""


class _Over(NamedTuple):
    error: BaseException | None


def events_of(
    invocation: DbtCliInvocation, log: logging.Logger, *, silent_seconds: float = SILENT_SECONDS
) -> Iterator[Any]:
    """dbt's events as they come, with columns, their lineage and row counts of what is built. When the run is stopped,
    dbt is too. Raises DbtSilent, and what dagster-dbt raises for a dbt that failed."""
    found: SimpleQueue[Any] = SimpleQueue()

    def read() -> None:
        error: BaseException | None = None
        try:
            for event in invocation.stream().fetch_column_metadata().fetch_row_counts():
                found.put(event)
        except BaseException as raised:  # told in the run's own thread
            error = raised
        found.put(_Over(error))

    Thread(target=read, name="dbt-events", daemon=True).start()
    dbt_log = invocation.target_path / "dbt.log"
    heard = told = time.monotonic()
    try:
        while True:
            try:
                event = found.get(timeout=_POLL_SECONDS)
            except Empty:
                now = time.monotonic()
                silent = min(now - heard, _seconds_since(dbt_log))
                if silent > silent_seconds:
                    raise DbtSilent(f"dbt has said nothing for {silent:.0f} s and was ended; see {dbt_log}") from None
                if silent > TOLD_SECONDS and now - told > TOLD_SECONDS:
                    told = now
                    log.warning(f"dbt has said nothing for {silent:.0f} s; it writes what it does to {dbt_log}")
                continue
            heard = time.monotonic()
            if isinstance(event, _Over):
                if event.error is not None:
                    raise event.error
                return
            yield event
    finally:
        end(invocation.process)


def end(process: subprocess.Popen[bytes]) -> None:
    """Ends a dbt process that still runs: by its Ctrl-C, at which it cancels its statements, or else by force."""
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGINT)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _seconds_since(file: Path) -> float:
    """Since a file was written last; since ever, where there is none."""
    try:
        return time.time() - file.stat().st_mtime
    except FileNotFoundError:
        return float("inf")
