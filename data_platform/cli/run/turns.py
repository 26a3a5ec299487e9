"""The turns of a pool, for runs that are executed here. Dagster's queue keeps a pool's limit for the runs that it
launches, and for no other.

A run that uses pools is STARTED first, which the queue counts as a use of its pools: it launches none beside. Then it
waits, before its first step, until those before it have ended: every run that the queue launched, and of the runs that
other commands execute those that were made earlier. So two never wait for each other, and two that begin at the same
moment see each other. A run that is in the queue when this one looks is waited for some seconds: the queue's daemon may
have looked before this one was STARTED, and launch it still. A daemon that takes longer than these between its look and
its launch is the gap that remains.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

import dagster as dg

GIVE_UP_SECONDS = 3600.0
LAUNCH_SECONDS = 10.0
"""How long the queue's daemon may take from its look at what is under way to its launch. It looks every second."""
_POLL_SECONDS = 1.0
_TELL_EVERY = 30.0
_UNDER_WAY = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
_ON_ITS_WAY = [dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.QUEUED]


class PoolTaken(Exception):
    """Another run has a pool for so long that it may never let go of it."""


def wait_for_turn(
    instance: dg.DagsterInstance,
    run_id: str,
    tell: Callable[[str], None],
    report_abandoned: Callable[[], object] = lambda: None,
) -> None:
    """Returns when no run is before this one in a pool that it uses, which must be STARTED; at once where it uses none.
    `tell` is given a line when it has to wait, and again every half minute; `report_abandoned` ends the runs that are
    before it in name only. Raises PoolTaken after an hour, and KeyboardInterrupt at Ctrl-C."""
    try:
        with dg.raise_execution_interrupts():  # which Dagster holds back, as it stores an event just now
            _wait(instance, run_id, tell, report_abandoned)
    except dg.DagsterExecutionInterruptedError:
        raise KeyboardInterrupt from None


def _wait(
    instance: dg.DagsterInstance, run_id: str, tell: Callable[[str], None], report_abandoned: Callable[[], object]
) -> None:
    mine = instance.get_run_record_by_id(run_id)
    if mine is None or not _pools(mine):
        return
    began = time.monotonic()
    told: float | None = None
    while True:
        report_abandoned()
        taken = _taken(instance, mine, launching=time.monotonic() - began < LAUNCH_SECONDS)
        if taken is None:
            return
        waited = time.monotonic() - began
        if waited > GIVE_UP_SECONDS:
            raise PoolTaken(
                f"Given up after {waited / 60:.0f} min of {taken}. If nobody works on that run, end it in Dagster's UI;"
                " else try again later."
            )
        if told is None:
            instance.report_engine_event(taken.capitalize(), mine.dagster_run)
        if told is None or time.monotonic() - told > _TELL_EVERY:
            told = time.monotonic()
            tell(taken)
        time.sleep(_POLL_SECONDS)


def _taken(instance: dg.DagsterInstance, mine: dg.RunRecord, launching: bool) -> str | None:
    """What it waits for, in words; None where each of its pools has a place for it. `launching`: the queue's daemon may
    still launch what is on its way."""
    filters = dg.RunsFilter(statuses=_UNDER_WAY + _ON_ITS_WAY)
    others = [one for one in instance.get_run_records(filters) if _is_before(one, mine, launching)]
    users = {pool: [one for one in others if pool in _pools(one)] for pool in sorted(_pools(mine))}
    limits = {limit.name: limit.limit for limit in instance.event_log_storage.get_pool_limits()}
    for pool, before in users.items():
        if len(before) >= limits.get(pool, 1):
            if not before:
                return f"waiting for the pool {pool}: its limit is 0"
            run = before[0].dagster_run
            return (
                f"waiting for the pool {pool}: the run {run.run_id} is {run.status.value} since {_since(before[0])}"
                + (f", and {len(before) - 1} more" if len(before) > 1 else "")
            )
    return None


def _is_before(other: dg.RunRecord, mine: dg.RunRecord, launching: bool) -> bool:
    """One that the queue launches looks at nothing; of those that look, the one that was made first goes first, even
    where it has not come to look yet."""
    if other.dagster_run.remote_job_origin is None:
        return other.storage_id < mine.storage_id
    return launching or other.dagster_run.status in _UNDER_WAY


def _pools(record: dg.RunRecord) -> set[str]:
    used = record.dagster_run.run_op_concurrency
    return set(used.all_pools or ()) if used else set()


def _since(record: dg.RunRecord) -> str:
    start = datetime.fromtimestamp(record.start_time, UTC) if record.start_time else record.update_timestamp
    return f"{start.replace(tzinfo=start.tzinfo or UTC).astimezone():%H:%M:%S}"
