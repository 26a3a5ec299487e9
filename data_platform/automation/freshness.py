"""The check `freshness` on each raw table: runs `dbt source freshness`.

`transform/sources.py` writes the limits into dbt's sources, from each feed's `expected`.
"""

from collections.abc import Iterator, Mapping
from threading import Timer
from typing import Any

import dagster as dg

from data_platform.automation.dbt_events import end
from data_platform.resources.dbt import DbtCli
from data_platform.transform.manifest import source_tables

CHECK = "freshness"
HOURLY_AT = "15 * * * *"
LONGEST_SECONDS = 600.0
"""The check stops dbt after this time: a dbt that hangs would hold up the next hour's check."""


def freshness_checks(manifest: Mapping[str, Any]) -> dg.AssetChecksDefinition:
    """A check on each raw table that has limits. One dbt process evaluates all selected checks. They don't block
    downstream models: old data is still correct."""
    tables = {
        dg.AssetKey(source["config"]["meta"]["dagster"]["asset_key"]): source for source in source_tables(manifest)
    }

    @dg.multi_asset_check(
        name="source_freshness",
        specs=[
            dg.AssetCheckSpec(
                CHECK,
                asset=key,
                description="New rows have arrived within the time that the feed promises.",
                automation_condition=_hourly(),
            )
            for key in tables
        ],
        can_subset=True,
    )
    def source_freshness(context: dg.AssetCheckExecutionContext, dbt: DbtCli) -> Iterator[dg.AssetCheckResult]:
        wanted = {tables[check.asset_key]["unique_id"]: check.asset_key for check in context.selected_asset_check_keys}
        select = [f"source:{'.'.join(unique_id.split('.')[2:])}" for unique_id in sorted(wanted)]
        invocation = dbt.cli(["source", "freshness", "--select", " ".join(select)], raise_on_error=False)
        limit = Timer(LONGEST_SECONDS, end, [invocation.process])
        limit.start()
        try:
            invocation.wait()
        finally:
            limit.cancel()
        if not invocation.target_path.joinpath("sources.json").exists():
            raise invocation.get_error() or dg.Failure("dbt source freshness wrote no sources.json")
        for result in invocation.get_artifact("sources.json")["results"]:
            yield _result(wanted[result["unique_id"]], result)

    return source_freshness


def _hourly() -> Any:
    return dg.AutomationCondition.cron_tick_passed(HOURLY_AT) & ~dg.AutomationCondition.in_progress()


def _result(table: dg.AssetKey, result: Mapping[str, Any]) -> dg.AssetCheckResult:
    """A check's result from an entry of sources.json, whose status is pass, warn, error or runtime error."""
    status = str(result["status"])
    severity = dg.AssetCheckSeverity.WARN if status == "warn" else dg.AssetCheckSeverity.ERROR
    if "max_loaded_at" not in result:
        return dg.AssetCheckResult(
            passed=False, asset_key=table, check_name=CHECK, severity=severity, description=str(result.get("error"))
        )
    hours = result["max_loaded_at_time_ago_in_s"] / 3600
    return dg.AssetCheckResult(
        passed=status == "pass",
        asset_key=table,
        check_name=CHECK,
        severity=severity,
        description=None if status == "pass" else f"The latest rows arrived {hours:.1f} hours ago.",
        metadata={"latest rows": str(result["max_loaded_at"]), "hours ago": round(hours, 2)},
    )
