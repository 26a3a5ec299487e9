"""The files in inbound and why each has not been loaded, from the bucket's listing and from Dagster's runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from functools import cache
from typing import TYPE_CHECKING

from data_platform.cli.project import declared, landing_bucket, of_kind
from data_platform.cli.run.inbound import look
from data_platform.environment import Settings
from data_platform.feeds.files import FileFeedSpec
from data_platform.landing.sorting import Ready, Scan
from data_platform.runs.landing_runs import landing_runs_matter

if TYPE_CHECKING:
    from data_platform.automation.landing_history import History


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
    found, now = look(landing_bucket(settings), of_kind(declared(), FileFeedSpec)), datetime.now(UTC)
    url = settings.dagster_postgres_url
    if url is not None and not landing_runs_matter(url.get_secret_value()):
        described = list(_described(found, None, now, settings.zone))
    else:
        described = _by_runs(found, now, settings.zone)
    return sorted(described, key=lambda file: file.key)


def _by_runs(found: Scan, now: datetime, zone: tzinfo) -> list[PendingFile]:
    """The files, with what Dagster's runs say of them."""
    import dagster as dg

    from data_platform.automation.landing_history import read_history
    from data_platform.cli.run.outcome import outcome_of

    with dg.DagsterInstance.get() as instance:

        @cache
        def error(run_id: str) -> str:
            events = (entry.dagster_event for entry in instance.all_logs(run_id) if entry.dagster_event)
            return "; ".join(outcome_of(run_id, False, events).failures)

        return list(_described(found, read_history(instance, now), now, zone, error))


def _described(
    found: Scan,
    history: History | None,
    now: datetime,
    zone: tzinfo = UTC,
    error: Callable[[str], str] = lambda run_id: "",
) -> Iterator[PendingFile]:
    """`history`: of landing runs; None if none says anything of pending files. `error`: why a run failed."""
    companions = {ready.companion for ready in found.ready}
    for ready in found.ready:
        left = found.left.get(ready.rules.source)
        if left and ready.pending.key >= left.key and not (history and ready.pending.token in history.under_way):
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


def _state(
    ready: Ready, history: History | None, now: datetime, zone: tzinfo, error: Callable[[str], str]
) -> tuple[str, str]:
    token = ready.pending.token
    if history and token in history.under_way:
        return "in a run", "a run is loading it"
    retry_at = history.retry_at(token) if history else None
    if history is None or retry_at is None:
        return "ready", f"the next tick loads it into {ready.rules.name}"
    last = " ".join(error(history.last_failed_run[token]).split())
    if now < retry_at:
        return "backing off", f"Retrying at {retry_at.astimezone(zone):%H:%M}; last error: {last}"
    return "ready", f"the next tick retries it; last error: {last}"
