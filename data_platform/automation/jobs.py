"""The named jobs and schedules. Sensors start landing runs and model rebuilds, so those have no job here."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import dagster as dg

from data_platform.automation.feed_keys import assets_of
from data_platform.environment import Settings
from data_platform.feeds.databases import SqlTableSpec
from data_platform.feeds.declared import WEB_APIS
from data_platform.feeds.geocoded import GeocodedSpec
from data_platform.feeds.spec import FeedSpec

TABLES_AT, GEOCODING_AT = "05:30", "06:00"
DAILY_AT = "30 6 * * *"
ARRIVALS_AT = "45 * * * *"


class TableJob(NamedTuple):
    """A job that reads tables: what it does, in words, the kinds of its tables, and when, `05:30`."""

    reads: str
    kinds: tuple[type[FeedSpec], ...]
    at: str = TABLES_AT


TABLE_JOBS: Mapping[str, TableJob] = {
    "databases": TableJob("Reads what is new in the tables of databases", (SqlTableSpec,)),
    # Not one job with the databases: a run waits for the pools of all its connections.
    "web_apis": TableJob("Reads what is new in the tables of web APIs", WEB_APIS),
    # Last: those tables have the addresses. A cap may have left some over.
    "geocoding": TableJob("Asks geocoders for the addresses that aren't known yet", (GeocodedSpec,), GEOCODING_AT),
}
"""The jobs that read tables, by name, in the order in which one may need what another has read."""


def table_schedules(loaded: dg.Definitions, settings: Settings) -> list[dg.ScheduleDefinition]:
    """The jobs of TABLE_JOBS and their schedules: before `daily`. Runs of their own, so that a system that can't be
    read keeps no model from being built."""
    return [
        dg.ScheduleDefinition(
            name=name,
            job=dg.define_asset_job(
                name,
                selection=assets_of(loaded, *job.kinds),
                description=f"{job.reads}. Models follow as the tables change.",
            ),
            cron_schedule="{1} {0} * * *".format(*map(int, job.at.split(":"))),
            execution_timezone=settings.time_zone,
            default_status=dg.DefaultScheduleStatus.RUNNING,
            description=f"{job.reads} at {job.at}, before `daily` builds the models.",
        )
        for name, job in TABLE_JOBS.items()
    ]


def table_jobs(tables: Iterable[FeedSpec]) -> dict[str, list[FeedSpec]]:
    """The tables that each job of TABLE_JOBS reads, without jobs that read none of these."""
    tables = list(tables)
    read = {name: [table for table in tables if isinstance(table, job.kinds)] for name, job in TABLE_JOBS.items()}
    return {name: of for name, of in read.items() if of}


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
