"""The jobs and schedules that people know by name. Landing runs, and marts that follow raw tables, need none."""

from collections.abc import Sequence

import dagster as dg

from data_platform.environment import Settings

DAILY_AT = "30 6 * * *"


def daily_schedule(loaded: Settings, arrivals: Sequence[dg.AssetCheckKey]) -> dg.ScheduleDefinition:
    """The job `daily`, everything that is due once a day, with its schedule: half past six in the morning in the
    city's time zone, whatever clocks do."""
    job = dg.define_asset_job(
        "daily",
        selection=dg.AssetSelection.kind("dbt") | dg.AssetSelection.checks(*arrivals),
        description="All dbt models with their tests, and whether every expected file has come.",
        tags={"data_platform/daily": "true"},
    )

    @dg.schedule(
        name="daily",
        job=job,
        cron_schedule=DAILY_AT,
        execution_timezone=loaded.time_zone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
    def daily(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        # A run that names its assets counts as asked for; after one that doesn't, the automation conditions of the
        # models that it updated would ask for them once more.
        assets = context.repository_def.get_job("daily").asset_layer
        models = assets.selected_asset_keys
        checks = assets.asset_graph.get_check_keys_for_assets(models) | set(arrivals)
        return dg.RunRequest(asset_selection=sorted(models), asset_check_keys=sorted(checks))

    return daily
