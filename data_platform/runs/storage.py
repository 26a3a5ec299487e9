"""Dagster's PostgreSQL storage, which keeps its connections open, and records the code location with each run. Only for
Dagster's own data: the platform's ledger is in Snowflake (`warehouse/`)."""

from __future__ import annotations

import json
import select
import time
from collections.abc import Mapping
from typing import Any

import dagster as dg
import psycopg2
from dagster_postgres import DagsterPostgresStorage
from sqlalchemy import Engine, event
from sqlalchemy.engine import Dialect, make_url
from sqlalchemy.exc import InvalidatePoolError

from data_platform.runs.database_password import follow_password

LOCATION, REPOSITORY = "data_platform", "__repository__"
"""The code location that workspace.yaml names, and its repository."""
# PgBouncer, load balancers and RDS proxies end idle connections after some minutes.
_RECYCLE_SECONDS = 120
_ASK_AFTER_SECONDS = 5.0
_AT_ONCE = 8
# Dagster's longest statement deletes old ticks by their index, once a day. A statement that takes longer than this
# hangs. Migrations, which build indexes over all events, have no limit.
_STATEMENT_MILLISECONDS = 300_000
# With libpq's defaults a connection notices after two hours that its server vanished, as in a failover. In seconds,
# except the last: milliseconds for which sent data may stay unacknowledged.
_CONNECTION = {
    "connect_timeout": "15",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}


class PooledPostgresStorage(DagsterPostgresStorage):
    """DagsterPostgresStorage that keeps its connections between statements, as Dagster does only in the webserver.
    Otherwise Dagster signs in for each of the forty statements that a table's materializations and checks take, which
    is most of the cost of orchestration. Same configuration as DagsterPostgresStorage, and `password_secret`: the ARN
    of RDS's secret, if RDS changes the password. libpq's parameters in the URL win."""

    @classmethod
    def config_type(cls) -> Any:
        """The fields of the configuration."""
        inherited: Any = super().config_type()
        return {**inherited, "password_secret": dg.Field(str, is_required=False)}

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Any) -> Any:
        """The storage of an instance's configuration."""
        if secret := config_value.get("password_secret"):
            follow_password(config_value["postgres_url"], secret)
        storage = super().from_config_value(inst_data, _noticing_loss(config_value))
        for part in (storage.run_storage, storage.event_log_storage, storage.schedule_storage):
            _keep_connections(part)
        _remember_tables(storage.event_log_storage)
        _record_location(storage.run_storage)
        return storage


def _noticing_loss(config: Mapping[str, Any]) -> Any:
    """The storage's configuration, plus libpq's parameters that make a connection notice a lost server."""
    if database := config.get("postgres_db"):
        return {**config, "postgres_db": {**database, "params": {**_CONNECTION, **database.get("params", {})}}}
    url = make_url(config["postgres_url"])
    url = url.set(query={**_CONNECTION, **url.query})
    return {**config, "postgres_url": url.render_as_string(hide_password=False)}


def _keep_connections(part: Any) -> None:
    engine = _open_pool(part, _STATEMENT_MILLISECONDS)
    end, migrate = part.dispose, part.upgrade

    def dispose() -> None:
        """Closes the connections. A code server opens an instance for each tick; their connections would pile up
        until Python collects the garbage."""
        end()
        engine.dispose()

    def upgrade() -> None:
        """Migrates without a time limit, as `dagster instance migrate` does in a process of its own."""
        nonlocal engine
        engine.dispose()
        engine = _open_pool(part, 0)
        migrate()

    part.dispose, part.upgrade = dispose, upgrade


def _open_pool(part: Any, statement_milliseconds: int) -> Engine:
    part.optimize_for_webserver(statement_milliseconds, pool_recycle=_RECYCLE_SECONDS, max_overflow=_AT_ONCE)
    # Dagster's storages have no public name for their engine, and connections, which do, would have to be opened first.
    engine = next(each for each in vars(part).values() if isinstance(each, Engine))
    event.listen(engine, "checkout", _require_alive)
    _remember_columns(engine.dialect)
    return engine


def _require_alive(connection: Any, record: Any, proxy: Any) -> None:
    """Makes the pool reconnect if the server has closed the connection: it restarted or failed over. Dagster retries
    connecting, but runs a statement once, and a run whose event can't be written fails.

    A closed connection is readable although no query is open, which a system call shows without a round trip. After a
    pause a query checks the server as well, which may have vanished without closing the connection."""
    now = time.monotonic()
    idle = now - record.info.get("used_at", now)
    record.info["used_at"] = now
    if _readable(connection):
        raise InvalidatePoolError("the server has closed the connection")
    if idle > _ASK_AFTER_SECONDS:
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
        except psycopg2.Error as error:
            raise InvalidatePoolError from error


def _readable(connection: Any) -> bool:
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(0))


def _remember_tables(events: Any) -> None:
    """Remembers the tables that exist. Dagster looks one up for each materialization, in case a migration is due. It
    does so within a transaction, on a second connection, which the pool of one would open and close each time."""
    has_table = events.has_table
    known: set[str] = set()

    def has_table_once(table_name: str) -> bool:
        if table_name not in known:
            if not has_table(table_name):
                return False
            known.add(table_name)
        return True

    events.has_table = has_table_once


def _remember_columns(dialect: Dialect) -> None:
    """Remembers the columns of tables, which Dagster looks up as often. Operators restart its processes after a
    migration."""
    get_columns = dialect.get_columns
    columns: dict[Any, Any] = {}

    def get_columns_once(connection: Any, table_name: str, schema: str | None = None, **options: Any) -> Any:
        if (schema, table_name) not in columns:
            columns[schema, table_name] = get_columns(connection, table_name, schema, **options)
        return [dict(column) for column in columns[schema, table_name]]

    dialect.get_columns = get_columns_once  # type: ignore[method-assign]


def _record_location(runs: Any) -> None:
    """Records the code location with each run that a process creates and executes itself, as Dagster does with runs
    that it launches. Without it, the UI's timeline and a job's page lack the run, and nobody can re-execute it.
    Executing in process has no parameter for it."""
    add_run = runs.add_run

    def add_run_of_location(dagster_run: dg.DagsterRun) -> Any:
        if dagster_run.remote_job_origin is not None:
            return add_run(dagster_run)
        tags = {**dagster_run.tags, "dagster/code_location": LOCATION}
        return add_run(dagster_run.with_job_origin(_origin(dagster_run.job_name)).with_tags(tags))

    runs.add_run = add_run_of_location


def _origin(job: str) -> Any:
    """A job of the code location, in the form in which Dagster stores it."""
    target = {"__class__": "LoadableTargetOrigin", "module_name": "data_platform.definitions"}
    location = {"__class__": "ManagedGrpcPythonEnvRepositoryLocationOrigin", "location_name": LOCATION}
    repository = {"__class__": "ExternalRepositoryOrigin", "repository_name": REPOSITORY}
    return dg.deserialize_value(
        json.dumps(
            {
                "__class__": "ExternalPipelineOrigin",
                "pipeline_name": job,
                "external_repository_origin": {
                    **repository,
                    "repository_location_origin": {**location, "loadable_target_origin": target},
                },
            }
        )
    )
