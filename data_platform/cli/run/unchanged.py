"""Decides from Dagster's records of the last `daily` run whether another one would make anything new. In doubt, it
would."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import version

import dagster as dg

from data_platform.automation.arrivals import LOOK_BACK, arrivals
from data_platform.cli.project import DBT_PROJECT, PACKAGE
from data_platform.environment import Settings, each_setting
from data_platform.feeds.files import FileFeedSpec
from data_platform.landing.history import file_names
from data_platform.transform.manifest import fingerprint
from data_platform.warehouse.connection import connect

DAILY = "daily"
INPUTS_TAG = "data_platform/inputs"
"""The tag of a `daily` run that holds the fingerprint of its inputs."""
_ENDINGS = (".py", ".yaml", ".sql")


def inputs(instance: dg.DagsterInstance, given: Settings) -> str:
    """16 hex digits that change with the code, every defs.yaml, the dbt project, a setting that is no secret, the
    versions of Dagster and dbt's adapter, and each materialization of a raw table."""
    digest = hashlib.sha256()
    for line in (
        *_code(),
        f"dbt {fingerprint(given.dbt_code.project_dir or DBT_PROJECT)} {version('dbt-snowflake')} {version('dagster')}",
        *(f"{variable}={value}" for variable, _, value, secret in each_setting(given) if not secret),
        *_raw_tables(instance),
    ):
        digest.update(f"{line}\n".encode())
    return digest.hexdigest()[:16]


def last_daily(
    instance: dg.DagsterInstance, given: Settings, now: datetime, *, reading: Collection[str]
) -> dg.RunRecord | None:
    """The last run of `daily`, if it still counts: it had today's inputs, it ran today (some checks depend on the day),
    the jobs that read tables (`reading`) have succeeded today, and since `daily` began no run has failed or is under
    way."""
    records = [_last_of_today(instance, given, now, job) for job in (*reading, DAILY)]
    record = records[-1]
    if record is None or None in records:
        return None
    others = [status for status in dg.DagsterRunStatus if status != dg.DagsterRunStatus.SUCCESS]
    if instance.get_run_records(dg.RunsFilter(statuses=others, created_after=record.create_timestamp), limit=1):
        return None
    return record if record.dagster_run.tags.get(INPUTS_TAG) == inputs(instance, given) else None


def _last_of_today(instance: dg.DagsterInstance, given: Settings, now: datetime, job: str) -> dg.RunRecord | None:
    """The last run of a job, if it was of today, whole and successful."""
    record = next(iter(instance.get_run_records(dg.RunsFilter(job_name=job), limit=1)), None)
    if record is None or record.start_time is None:
        return None
    run = record.dagster_run
    part = run.parent_run_id is not None or bool(run.asset_selection)  # a retry, or the schedule of one source
    if part or run.status != dg.DagsterRunStatus.SUCCESS:
        return None
    began = datetime.fromtimestamp(record.start_time, given.zone)
    return record if began.date() == now.astimezone(given.zone).date() else None


def arrivals_are_as_at(record: dg.RunRecord, now: datetime, given: Settings, feeds: Sequence[FileFeedSpec]) -> bool:
    """Whether the `arrivals` checks would find the same gaps and silence now as when that run began."""
    expecting = [rules for rules in feeds if rules.expected is not None]
    began = datetime.fromtimestamp(record.start_time or 0.0, UTC)
    with connect(given) as connection:
        for rules in expecting:
            names = file_names(connection, given.snowflake.database, rules.source, rules.table, since=began - LOOK_BACK)
            then, today = (arrivals(rules, names, moment) for moment in (began, now))
            if (then.gaps, then.silent_since) != (today.gaps, today.silent_since):
                return False
    return True


def _code() -> Iterator[str]:
    for file in sorted(path for path in PACKAGE.rglob("*") if path.suffix in _ENDINGS):
        yield f"{file.relative_to(PACKAGE).as_posix()} {hashlib.sha256(file.read_bytes()).hexdigest()}"


def _raw_tables(instance: dg.DagsterInstance) -> Iterator[str]:
    keys = instance.get_asset_keys(prefix=["raw"])
    for record in sorted(instance.get_asset_records(keys), key=lambda each: each.asset_entry.asset_key):
        last = record.asset_entry.last_materialization_record
        yield f"{record.asset_entry.asset_key.to_user_string()} {last.storage_id if last else None}"
