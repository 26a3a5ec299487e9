"""Keeps the results of the checks that a failed or interrupted run had planned and never made. Dagster shows such a
check as skipped, and models don't follow a table whose blocking check has no result: they would wait until somebody
materializes that table again."""

from __future__ import annotations

from typing import Any

import dagster as dg

_HISTORY = 20
"""How many such runs in a row may lie before a check's last result."""


def keep_check_results(instance: dg.DagsterInstance, run_id: str) -> list[dg.AssetCheckKey]:
    """Reports the last result of each check that the run planned but didn't make, if the run didn't materialize the
    check's asset either: the asset is as it was checked before. Returns the checks. Call it when the run has ended."""
    planned: set[dg.AssetCheckKey] = set()
    over: set[dg.AssetCheckKey] = set()
    materialized: set[dg.AssetKey | None] = set()
    for entry in instance.all_logs(run_id, of_type=_TELLING):
        event: Any = entry.dagster_event
        if event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED:
            planned.add(event.asset_check_planned_data.asset_check_key)
        elif event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            over.add(event.asset_check_evaluation_data.asset_check_key)
        else:
            materialized.add(event.asset_key)
    kept = [key for key in sorted(planned - over) if key.asset_key not in materialized]
    return [key for key in kept if _report_last_result(instance, key)]


_TELLING = {
    dg.DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED,
    dg.DagsterEventType.ASSET_CHECK_EVALUATION,
    dg.DagsterEventType.ASSET_MATERIALIZATION,
}


def _report_last_result(instance: dg.DagsterInstance, key: dg.AssetCheckKey) -> bool:
    """Whether the check had a result to report again."""
    storage = instance.event_log_storage
    for record in storage.get_asset_check_execution_history(key, limit=_HISTORY):
        if isinstance(record.evaluation, dg.AssetCheckEvaluation):
            instance.report_runless_asset_event(record.evaluation)
            return True
    return False
