"""The results of a table's checks that runs have stored, and which of them counts when runs of several days load the
table side by side, or one loads nothing.

Dagster takes the result that was stored last, if it belongs to the latest materialization of the table; otherwise the
check isn't evaluated for it, and models wait for the next load. A result belongs to its run's materialization, and
without one to that of the run's day, whatever other runs have loaded since.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import Enum

import dagster as dg

_SEEN = 10
"""How many results are looked at: more than there are runs that load a table side by side."""

_LATER_SECONDS = 1.5
"""How much later than a materialization a result without a run must be stored to belong to it: Dagster compares the
times, of which SQLite keeps whole seconds, and PostgreSQL's clock is not this machine's."""


class _Evaluated(Enum):
    """Dagster's statuses of an evaluated check, which it doesn't export."""

    PASSED = "SUCCEEDED"
    FAILED = "FAILED"


@dataclass(frozen=True)
class Stored:
    """A stored result. `at`: seconds since 1970."""

    at: float
    run_id: str
    evaluation: dg.AssetCheckEvaluation


def latest_results(instance: dg.DagsterInstance, check: dg.AssetCheckKey) -> list[Stored]:
    """A check's latest results, the last one first."""
    records = instance.event_log_storage.get_asset_check_execution_history(check, limit=_SEEN, status=set(_Evaluated))
    found = [
        Stored(record.event.timestamp, record.run_id, record.evaluation)
        for record in records
        if record.event and record.evaluation
    ]
    return sorted(found, key=lambda one: one.at, reverse=True)


def report_if_overtaken(
    instance: dg.DagsterInstance, result: dg.AssetCheckResult, run_id: str, *, materialized: bool, since: float
) -> None:
    """Reports a result once more, without a run, so that it belongs to the latest materialization: if this run made
    none, or another run has stored a result after `since`, seconds since 1970, when this one began to evaluate. A
    failure of such a run is reported instead, as this one didn't know of its rows. Call it when the result is stored.
    """
    key = dg.AssetCheckKey(dg.AssetKey.from_coercible(result.asset_key or []), str(result.check_name))
    others = [one.evaluation for one in latest_results(instance, key) if one.run_id != run_id and one.at > since]
    if materialized and not others:
        return
    counts = next((other for other in others if not other.passed), result)
    if latest := instance.get_latest_materialization_event(key.asset_key):
        time.sleep(max(0.0, latest.timestamp + _LATER_SECONDS - time.time()))
    instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(
            asset_key=key.asset_key,
            check_name=key.name,
            passed=counts.passed,
            metadata=counts.metadata,
            severity=counts.severity,
            description=counts.description,
        )
    )
