"""The files in inbound and why each has not been loaded, from the bucket's listing and from Dagster's runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from functools import cache

import dagster as dg

from data_platform.automation.landing_history import History, read_history
from data_platform.cli.project import declared, landing_bucket, of_kind
from data_platform.cli.run.inbound import look
from data_platform.cli.run.outcome import outcome_of
from data_platform.environment import Settings
from data_platform.feeds.files import FileFeedSpec
from data_platform.landing.inbox import Ready, Scan


@dataclass(frozen=True)
class PendingFile:
    """A file in inbound. `state`: ready, in a run, backing off, waiting or unmatched."""

    key: str
    size: int
    landed_at: datetime
    state: str
    why: str


def pending_files(settings: Settings) -> list[PendingFile]:
    """Every file in inbound, by key. The settings must have been adopted."""
    found = look(landing_bucket(settings), of_kind(declared(), FileFeedSpec))
    with dg.DagsterInstance.get() as instance:
        now = datetime.now(UTC)
        history = read_history(instance, now)

        @cache
        def error(run_id: str) -> str:
            events = (entry.dagster_event for entry in instance.all_logs(run_id) if entry.dagster_event)
            return "; ".join(outcome_of(run_id, False, events).failures)

        described = _described(found, history, now, settings.zone, error)
        return sorted(described, key=lambda file: file.key)


def _described(
    found: Scan, history: History, now: datetime, zone: tzinfo = UTC, error: Callable[[str], str] = lambda run_id: ""
) -> Iterator[PendingFile]:
    """`error`: why a run failed."""
    companions = {ready.companion for ready in found.ready}
    for ready in found.ready:
        left = found.left.get(ready.rules.source)
        if left and ready.pending.key >= left.key and ready.pending.token not in history.under_way:
            state, why = "waiting", f"{left.reason}: it waits until some before it are settled"
        else:
            state, why = _state(ready, history, now, zone, error)
        yield PendingFile(ready.pending.key, ready.pending.size, ready.pending.modified, state, why)
    for waiting in found.waiting:
        pending = waiting.pending
        if pending.key in companions:
            continue
        why = waiting.reason
        if waiting.until is not None:
            why += f"; ready in {(waiting.until - now).total_seconds():.0f} s"
        yield PendingFile(pending.key, pending.size, pending.modified, "waiting", why)
    for pending, reason in found.unmatched:
        yield PendingFile(pending.key, pending.size, pending.modified, "unmatched", reason)


def _state(ready: Ready, history: History, now: datetime, zone: tzinfo, error: Callable[[str], str]) -> tuple[str, str]:
    token = ready.pending.token
    if token in history.under_way:
        return "in a run", "a run is loading it"
    retry_at = history.retry_at(token)
    if retry_at is None:
        return "ready", f"the next tick loads it into {ready.rules.name}"
    last = f"; last error: {' '.join(error(history.last_failed_run[token]).split())}"
    if now < retry_at:
        return "backing off", f"Retrying at {retry_at.astimezone(zone):%H:%M}{last}"
    return "ready", f"the next tick retries it{last}"
