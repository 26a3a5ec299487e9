"""The jobs and schedules that people know by name. Landing runs and marts that follow raw tables need none."""

from __future__ import annotations

import dagster as dg

from data_platform.environment import Settings

DAILY_AT = "30 6 * * *"


def daily_job() -> dg.JobDefinition | dg.UnresolvedAssetJobDefinition:
    """Everything that is due once a day: all dbt models with their tests, and whether every expected file came."""
    models = dg.AssetSelection.kind("dbt")
    arrivals = dg.AssetSelection.all_asset_checks() - dg.AssetSelection.checks_for_assets(models)
    return dg.define_asset_job(
        "daily",
        selection=models | arrivals,
        description="All dbt models with their tests, source freshness, and the arrivals of expected files.",
        tags={"data_platform/daily": "true"},
    )


def daily_schedule(settings: Settings, job: dg.UnresolvedAssetJobDefinition, *, running: bool) -> dg.ScheduleDefinition:
    """Half past six in the morning of the city's time zone, whatever clocks do."""
    return dg.ScheduleDefinition(
        name="daily",
        job=job,
        cron_schedule=DAILY_AT,
        execution_timezone=settings.time_zone,
        default_status=dg.DefaultScheduleStatus.RUNNING if running else dg.DefaultScheduleStatus.STOPPED,
    )
