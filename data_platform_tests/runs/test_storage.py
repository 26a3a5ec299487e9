"""Dagster's storage: limits, a restarted server, and what it asks only once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any

import dagster as dg
import psycopg2
import pytest
from sqlalchemy import event, text
from sqlalchemy.engine import make_url

from data_platform.runs.storage import PooledPostgresStorage

pytestmark = pytest.mark.server


@contextmanager
def _opened(config: Mapping[str, Any]) -> Iterator[Any]:
    storage = PooledPostgresStorage.from_config_value(None, config)
    yield storage
    for part in (storage.run_storage, storage.event_log_storage, storage.schedule_storage):
        part.dispose()


def _connects(storage: Any) -> list[Any]:
    """What opens a connection, of each part of the storage."""
    return [storage.run_storage.connect, storage.event_log_storage.index_connection, storage.schedule_storage.connect]


def _limit(connect: Any) -> str:
    with connect() as connection:
        return str(connection.execute(text("SHOW statement_timeout")).scalar())


def test_a_statement_has_five_minutes_and_a_migration_has_no_limit(local_cloud: Mapping[str, str]) -> None:
    with _opened({"postgres_url": local_cloud["DAGSTER_POSTGRES_URL"]}) as storage:
        assert [_limit(connect) for connect in _connects(storage)] == ["5min"] * 3
        storage.run_storage.upgrade()
        assert _limit(storage.run_storage.connect) == "0"


def test_a_table_that_exists_is_looked_up_once(local_cloud: Mapping[str, str]) -> None:
    with _opened({"postgres_url": local_cloud["DAGSTER_POSTGRES_URL"]}) as storage:
        events = storage.event_log_storage
        with events.index_connection() as connection:
            engine = connection.engine
        sent: list[str] = []
        event.listen(engine, "before_cursor_execute", lambda *given: sent.append(given[2]))
        for _ in ("first", "second"):
            sent.clear()
            assert events.has_table("asset_event_tags")
            assert events.has_asset_key_col("last_materialization_timestamp")
            assert not events.has_table("no_such_table")
            looked_up = len(sent)
        assert looked_up == 1, "only the table that doesn't exist: a migration may make it"


def test_a_run_without_a_code_location_gets_that_of_the_workspace(local_cloud: Mapping[str, str]) -> None:
    """So that the runs that `data-platform run` executes itself are in the UI's timeline and can be re-executed."""
    run = dg.DagsterRun(job_name="daily", tags={"made": "of"})
    with _opened({"postgres_url": local_cloud["DAGSTER_POSTGRES_URL"]}) as storage:
        storage.run_storage.add_run(run)
        try:
            here = dg.RunsFilter(run_ids=[run.run_id], tags={".dagster/repository": "__repository__@data_platform"})
            (found,) = storage.run_storage.get_runs(here)
        finally:
            storage.run_storage.delete_run(run.run_id)
    assert (found.tags["made"], found.tags["dagster/code_location"]) == ("of", "data_platform")
    assert (found.remote_job_origin.location_name, found.remote_job_origin.job_name) == ("data_platform", "daily")


def test_a_server_that_was_started_again_costs_no_statement(local_cloud: Mapping[str, str]) -> None:
    url = make_url(local_cloud["DAGSTER_POSTGRES_URL"]).set(query={"application_name": "let go of"})
    with _opened({"postgres_url": url.render_as_string(hide_password=False)}) as storage:
        for connect in _connects(storage):
            with connect() as connection:
                connection.execute(text("SELECT 1"))
        _end_connections(local_cloud["DAGSTER_POSTGRES_URL"], "let go of", 3)
        for connect in _connects(storage):
            with connect() as connection:
                assert connection.execute(text("SELECT 2")).scalar() == 2


def _end_connections(url: str, name: str, number: int) -> None:
    """Ends the connections of a name, as their server's end would, and returns when they are gone."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE application_name = %s", [name]
        )
        assert cursor.fetchall() == [(True,)] * number


@pytest.mark.parametrize("by", ["URL", "fields"])
def test_a_connection_notices_a_lost_server_as_its_configuration_says_or_within_a_minute(
    by: str, local_cloud: Mapping[str, str]
) -> None:
    url = make_url(local_cloud["DAGSTER_POSTGRES_URL"])
    own = {"keepalives_idle": "7", "application_name": "watched"}
    config: dict[str, Any] = {"postgres_url": url.set(query=own).render_as_string(hide_password=False)}
    if by == "fields":
        place = {"username": url.username, "password": url.password, "hostname": url.host, "port": str(url.port)}
        config = {"postgres_db": {**place, "db_name": url.database, "params": own}}
    with _opened(config) as storage:
        for connect in _connects(storage):
            with connect() as connection:
                given = connection.connection.dbapi_connection.get_dsn_parameters()
            expected = {
                **own,
                "connect_timeout": "15",
                "keepalives_interval": "10",
                "keepalives_count": "3",
                "tcp_user_timeout": "60000",
            }
            assert {name: given[name] for name in expected} == expected
