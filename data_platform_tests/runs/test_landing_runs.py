"""Whether Dagster's runs say anything of pending files, asked of its tables without Dagster."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import psycopg2
import pytest

from data_platform.automation.landing_history import read_history
from data_platform.runs.landing_runs import LANDING_TAG, landing_runs_matter
from data_platform.runs.storage import PooledPostgresStorage

pytestmark = pytest.mark.server
SCHEMA = "landing_runs"
CONFIG = {"ops": {"load": {"config": {"deliveries": [{"key": "k", "token": "t"}]}}}}


@pytest.fixture
def url(local_cloud: Mapping[str, str]) -> Iterator[str]:
    """A database without runs."""
    given = local_cloud["DAGSTER_POSTGRES_URL"]
    with closing(psycopg2.connect(given)) as connection:
        connection.autocommit = True
        connection.cursor().execute(f"CREATE SCHEMA {SCHEMA}")
        try:
            yield f"{given}?options=-csearch_path%3D{SCHEMA}"
        finally:
            connection.cursor().execute(f"DROP SCHEMA {SCHEMA} CASCADE")


@pytest.fixture
def runs(url: str) -> Iterator[Any]:
    storage: Any = PooledPostgresStorage.from_config_value(None, {"postgres_url": url})
    yield storage.run_storage
    for part in (storage.run_storage, storage.event_log_storage, storage.schedule_storage):
        part.dispose()


def test_a_landing_run_matters_unless_it_succeeded_or_failed_long_ago(url: str, runs: Any) -> None:
    assert not landing_runs_matter(url)
    runs.add_run(dg.DagsterRun(job_name="j", status=dg.DagsterRunStatus.STARTED))
    assert not landing_runs_matter(url), "it loads no files"
    now = datetime.now(UTC)
    for status in set(dg.DagsterRunStatus) - {dg.DagsterRunStatus.QUEUED}:  # which needs a code location
        run = dg.DagsterRun(job_name="j", run_config=CONFIG, status=status, tags={LANDING_TAG: "true"})
        runs.add_run(run)
        history = read_history(runs, now)  # all that it asks of the instance are the records of runs
        says_something = bool(history.under_way or history.failed)
        assert landing_runs_matter(url) or not says_something, status
        assert landing_runs_matter(url) == (status is not dg.DagsterRunStatus.SUCCESS), status
        if status in (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED):
            with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
                long_ago = (now - timedelta(days=2, hours=1)).replace(tzinfo=None)
                cursor.execute("UPDATE runs SET update_timestamp = %s WHERE run_id = %s", (long_ago, run.run_id))
            assert not landing_runs_matter(url), status
        runs.delete_run(run.run_id)


def test_where_the_tables_are_not_as_expected_dagster_is_asked(url: str) -> None:
    assert landing_runs_matter(url), "there are no tables"
    assert landing_runs_matter("postgresql://nobody@127.0.0.1:1/none"), "there is no server"
