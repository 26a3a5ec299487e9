"""The named jobs and schedules. Sensors start landing runs and model rebuilds, so those have no job here."""

from collections.abc import Sequence

import dagster as dg

from data_platform.automation.feed_keys import KIND_TAG
from data_platform.environment import Settings
from data_platform.feeds.databases import SqlTableSpec

DATABASES_AT = "30 5 * * *"
DAILY_AT = "30 6 * * *"


def databases_schedule(loaded: Settings) -> dg.ScheduleDefinition:
    """The job `databases` and its schedule: an hour before `daily`. A run of its own, so that a database that can't be
    read keeps no model from being built."""
    job = dg.define_asset_job(
        "databases",
        selection=dg.AssetSelection.tag(KIND_TAG, SqlTableSpec.kind),
        description="Reads what is new in the tables of databases. Models follow as the tables change.",
    )
    return dg.ScheduleDefinition(
        name="databases",
        job=job,
        cron_schedule=DATABASES_AT,
        execution_timezone=loaded.time_zone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )


def daily_schedule(loaded: Settings, arrivals: Sequence[dg.AssetCheckKey]) -> dg.ScheduleDefinition:
    """The job `daily` and its schedule: 06:30 in the platform's time zone, also when clocks change."""
    job = dg.define_asset_job(
        "daily",
        selection=dg.AssetSelection.kind("dbt") | dg.AssetSelection.checks(*arrivals),
        description="Builds and tests all dbt models, and checks that all due files have arrived.",
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
        # Dagster's automation conditions see a run request only if the run names its assets. Otherwise they would
        # request again the models that this run has just updated.
        assets = context.repository_def.get_job("daily").asset_layer
        models = assets.selected_asset_keys
        checks = assets.asset_graph.get_check_keys_for_assets(models) | set(arrivals)
        return dg.RunRequest(asset_selection=sorted(models), asset_check_keys=sorted(checks))

    return daily
