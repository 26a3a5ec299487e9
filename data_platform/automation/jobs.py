"""The named jobs and schedules. Sensors start landing runs and model rebuilds, so those have no job here."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import dagster as dg

from data_platform.automation.feed_keys import assets_of, scheduled
from data_platform.environment import Settings
from data_platform.feeds.databases import SqlTableSpec
from data_platform.feeds.declared import WEB_APIS
from data_platform.feeds.geocoded import GeocodedSpec
from data_platform.feeds.spec import FeedSpec
from data_platform.feeds.tables import TableSpec

TABLES_AT, GEOCODING_AT = "05:30", "06:00"
DAILY_AT = "30 6 * * *"
ARRIVALS_AT = "45 * * * *"


class TableJob(NamedTuple):
    """A job that reads tables: what it does, in words, the kinds of its tables, and when, `05:30`."""

    reads: str
    kinds: tuple[type[TableSpec], ...]
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
    """The jobs of TABLE_JOBS and their schedules: before `daily`, or when a source says. Runs of their own, so that a
    system that can't be read keeps no model from being built."""
    return [each for name, job in TABLE_JOBS.items() for each in _schedules(name, job, loaded, settings)]


def _schedules(name: str, reads: TableJob, loaded: dg.Definitions, settings: Settings) -> Iterator[Any]:
    """The schedule of the job's sources, and `<job>__<source>` for each that has a schedule of its own."""
    job = dg.define_asset_job(
        name,
        selection=assets_of(loaded, *reads.kinds),
        description=f"{reads.reads}. Models follow as the tables change.",
    )
    sources = scheduled(loaded, *reads.kinds)
    own = {of: keys for of, keys in sources.items() if of[1] is not None}
    rest = None if not own else [key for of, keys in sources.items() if of not in own for key in keys]
    daily = "{1} {0} * * *".format(*map(int, reads.at.split(":")))
    told = f"{reads.reads} at {reads.at}, before `daily` builds the models."
    yield _schedule(name, job, daily, settings, told, rest)
    for (source, cron), keys in own.items():
        told = f"{reads.reads} of {source}, as its `schedule` says."
        yield _schedule(f"{name}__{source}", job, str(cron), settings, told, keys)


def _schedule(
    name: str, job: Any, cron: str, settings: Settings, told: str, keys: Sequence[dg.AssetKey] | None
) -> dg.ScheduleDefinition:
    """A schedule of the job, or of a part of it. `keys`: the part's assets; None: all of it."""

    @dg.schedule(
        name=name,
        job=job,
        cron_schedule=cron,
        execution_timezone=settings.time_zone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=told,
    )
    def due() -> dg.RunRequest | dg.SkipReason:
        if keys is None:
            return dg.RunRequest()
        return dg.RunRequest(asset_selection=keys) if keys else dg.SkipReason("Each source has a schedule of its own")

    return due


def table_jobs(tables: Iterable[FeedSpec]) -> dict[str, list[FeedSpec]]:
    """The tables that each job of TABLE_JOBS reads, without jobs that read none of these."""
    tables = list(tables)
    read: dict[str, list[FeedSpec]]
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
