"""The named jobs and schedules. Sensors start landing runs and model rebuilds, so those have no job here."""

from collections.abc import Sequence

import dagster as dg

from data_platform.automation.feed_keys import assets_of
from data_platform.environment import Settings
from data_platform.feeds.databases import SqlTableSpec

DATABASES_AT = "30 5 * * *"
DAILY_AT = "30 6 * * *"
ARRIVALS_AT = "45 * * * *"


def databases_schedule(loaded: dg.Definitions, settings: Settings) -> dg.ScheduleDefinition:
    """The job `databases` and its schedule: an hour before `daily`. A run of its own, so that a database that can't be
    read keeps no model from being built."""
    job = dg.define_asset_job(
        "databases",
        selection=assets_of(loaded, SqlTableSpec),
        description="Reads what is new in the tables of databases. Models follow as the tables change.",
    )
    return dg.ScheduleDefinition(
        name="databases",
        job=job,
        cron_schedule=DATABASES_AT,
        execution_timezone=settings.time_zone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Reads databases at 05:30, an hour before `daily` builds the models.",
    )


def arrivals_schedule(settings: Settings, arrivals: Sequence[dg.AssetCheckKey]) -> dg.ScheduleDefinition:
    """The job `arrivals` and its schedule: every hour, so that a missing file is reported within the hour in which it
    was due."""
    job = dg.define_asset_job(
        "arrivals",
        selection=dg.AssetSelection.checks(*arrivals),
        description="Checks that every expected file has arrived.",
    )

    @dg.schedule(
        name="arrivals",
        job=job,
        cron_schedule=ARRIVALS_AT,
        execution_timezone=settings.time_zone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Checks every hour that every expected file has arrived.",
    )
    def every_hour() -> dg.RunRequest | dg.SkipReason:
        return dg.RunRequest() if arrivals else dg.SkipReason("No feed declares when its files are expected")

    return every_hour


def daily_schedule(settings: Settings, arrivals: Sequence[dg.AssetCheckKey]) -> dg.ScheduleDefinition:
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
        execution_timezone=settings.time_zone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Builds and tests all dbt models at 06:30, and checks that every expected file has arrived.",
    )
    def daily(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        # Dagster's automation conditions see a run request only if the run names its assets. Otherwise they would
        # request again the models that this run has just updated.
        assets = context.repository_def.get_job("daily").asset_layer
        models = assets.selected_asset_keys
        checks = assets.asset_graph.get_check_keys_for_assets(models) | set(arrivals)
        return dg.RunRequest(asset_selection=sorted(models), asset_check_keys=sorted(checks))

    return daily
