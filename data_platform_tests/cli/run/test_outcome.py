"""What a run's events say of it."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest

from data_platform.cli.run.outcome import outcome_of


@pytest.mark.parametrize(
    ("result", "said"),
    [
        ({"metadata": {"dagster_dbt/failed_row_count": 1_204}}, "1,204 rows do not pass"),
        ({"metadata": {"dagster_dbt/failed_row_count": 1}}, "1 row does not pass"),
        ({"description": "no file came", "metadata": {"dagster_dbt/failed_row_count": 3}}, "no file came"),
        ({}, ""),
    ],
)
def test_a_check_that_did_not_pass_says_why_or_how_many_rows(result: dict[str, Any], said: str) -> None:
    @dg.asset(name="permits", check_specs=[dg.AssetCheckSpec("has_an_address", asset="permits")])
    def permits() -> Any:
        warned = dg.AssetCheckResult(passed=False, severity=dg.AssetCheckSeverity.WARN, **result)
        yield dg.MaterializeResult(check_results=[warned])

    ended = dg.materialize([permits])
    outcome = outcome_of(ended.run_id, ended.success, ended.all_events)
    assert outcome.warnings == {"permits: has_an_address": said}
    assert outcome.checks == {"permits: has_an_address"} and not outcome.errors
