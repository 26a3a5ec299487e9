"""The named jobs and schedules. Sensors start landing runs and model rebuilds, so those have no job here."""

from collections.abc import Sequence

import dagster as dg

from data_platform.automation.feed_keys import KIND_TAG
from data_platform.environment import Settings
from data_platform.feeds.databases import SqlTableSpec

DAILY_AT = "30 6 * * *"


def daily_schedule(loaded: Settings, arrivals: Sequence[dg.AssetCheckKey]) -> dg.ScheduleDefinition:
    """The job `daily` and its schedule: 06:30 in the platform's time zone, also when clocks change."""
    tables = dg.AssetSelection.tag(KIND_TAG, SqlTableSpec.kind)
    job = dg.define_asset_job(
        "daily",
        selection=tables | dg.AssetSelection.kind("dbt") | dg.AssetSelection.checks(*arrivals),
        description="Reads the tables of databases, builds and tests all dbt models, and checks that every expected"
        " file has arrived.",
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
        made = assets.selected_asset_keys
        checks = assets.asset_graph.get_check_keys_for_assets(made) | set(arrivals)
        return dg.RunRequest(asset_selection=sorted(made), asset_check_keys=sorted(checks))

    return daily
