"""The outcome of a run, read from its events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import dagster as dg


@dataclass(frozen=True)
class RunOutcome:
    """The outcome of a run. `rows`: loaded into tables; `checks`: the names of those that were made; `warnings` and
    `errors`: of those that did not pass, by severity; `failures`: why steps failed."""

    run_id: str
    success: bool
    materialized: tuple[str, ...] = ()
    rows: int = 0
    checks: frozenset[str] = frozenset()
    warnings: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)
    failures: tuple[str, ...] = ()


def outcome_of(run_id: str, success: bool, events: Iterable[dg.DagsterEvent]) -> RunOutcome:
    """The outcome of a run that has ended, from all its events."""
    materialized = []
    failures: list[str] = []
    warnings: dict[str, str] = {}
    errors: dict[str, str] = {}
    checks: set[str] = set()
    for event in events:
        if event.event_type == dg.DagsterEventType.ASSET_MATERIALIZATION:
            materialized.append(event.step_materialization_data.materialization)
        elif event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            check = event.asset_check_evaluation_data
            name = f"{check.asset_key.to_user_string()}: {check.check_name}"
            checks.add(name)
            if not check.passed:
                room = warnings if check.severity == dg.AssetCheckSeverity.WARN else errors
                room[name] = check.description or _rows_of_test(check.metadata)
        elif event.event_type == dg.DagsterEventType.STEP_FAILURE:
            failures.append(_failure(event))
    if not success and not failures:
        failures.append("the run did not start, or its process ended; see its log")
    return RunOutcome(
        run_id=run_id,
        success=success,
        materialized=tuple(one.asset_key.to_user_string() for one in materialized),
        rows=sum(_number(one.metadata.get("rows")) for one in materialized if one.asset_key.path[0] == "raw"),
        checks=frozenset(checks),
        warnings=warnings,
        errors=errors,
        failures=tuple(failures),
    )


def _rows_of_test(metadata: Mapping[str, Any]) -> str:
    """What is known of a test of dbt that didn't pass: how many rows it found."""
    rows = _number(metadata.get("dagster_dbt/failed_row_count"))
    return f"{rows:,} {'row does' if rows == 1 else 'rows do'} not pass" if rows else ""


def _number(value: Any) -> int:
    number = getattr(value, "value", 0)
    return number if isinstance(number, int) else 0


def _failure(event: dg.DagsterEvent) -> str:
    data = event.step_failure_data
    described = data.user_failure_data.description if data.user_failure_data else None
    return f"{event.step_key}: {described or _innermost(data.error)}"


def _innermost(error: Any) -> str:
    while error is not None and error.cause is not None:
        error = error.cause
    return str(error.message).strip() if error is not None else "no message"
