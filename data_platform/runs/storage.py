"""Dagster's own storage: its PostgreSQL, with connections that are kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg2
from dagster_postgres import DagsterPostgresStorage
from sqlalchemy import event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import InvalidatePoolError

# PgBouncer, load balancers and RDS proxies end idle connections after some minutes.
_RECYCLE_SECONDS = 120
_AT_ONCE = 8
# Dagster's largest statement of every day deletes old ticks, by their index. A statement that waits longer is one that
# waits for something that won't come. Migrations, which build indexes of all events, have no limit.
_STATEMENT_MILLISECONDS = 300_000
# libpq's own would notice after two hours that the server went away without a word, as in a failover. In seconds, but
# for the last, which is how long what was sent may go unacknowledged, in milliseconds.
_CONNECTION = {
    "connect_timeout": "15",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}


class PooledPostgresStorage(DagsterPostgresStorage):
    """DagsterPostgresStorage that keeps its connections between statements. It signs in anew for each of the forty
    statements that a table's materializations and checks take, which is most of what orchestration costs, unless it is
    told, as the webserver tells it, to keep them. Configured as DagsterPostgresStorage; parameters of libpq's that the
    URL names are kept."""

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Any) -> Any:
        """The storage of an instance's configuration."""
        storage = super().from_config_value(inst_data, _noticing_loss(config_value))
        for part in (storage.run_storage, storage.event_log_storage, storage.schedule_storage):
            _keep_connections(part)
        return storage


def _noticing_loss(config: Mapping[str, Any]) -> Any:
    """The storage's configuration, with what makes a connection notice that its server is gone."""
    if database := config.get("postgres_db"):
        return {**config, "postgres_db": {**database, "params": {**_CONNECTION, **database.get("params", {})}}}
    url = make_url(config["postgres_url"])
    url = url.set(query={**_CONNECTION, **url.query})
    return {**config, "postgres_url": url.render_as_string(hide_password=False)}


def _keep_connections(part: Any) -> None:
    _open_pool(part, _STATEMENT_MILLISECONDS)
    end, migrate = part.dispose, part.upgrade

    def dispose() -> None:
        """Dagster has nothing to give back, as it keeps nothing: a code server's ticks, an instance each, would pile
        connections up until the garbage is collected."""
        end()
        part._engine.dispose()

    def upgrade() -> None:
        """Migrates, as `dagster instance migrate` does, in a process of its own."""
        part._engine.dispose()
        _open_pool(part, 0)
        migrate()

    part.dispose, part.upgrade = dispose, upgrade


def _open_pool(part: Any, statement_milliseconds: int) -> None:
    part.optimize_for_webserver(statement_milliseconds, pool_recycle=_RECYCLE_SECONDS, max_overflow=_AT_ONCE)
    event.listen(part._engine, "checkout", _require_alive)


def _require_alive(connection: Any, record: Any, proxy: Any) -> None:
    """Has the pool connect anew where the server has let go of what was kept: it was started again, or failed over.
    Dagster tries a connection several times, but a statement once, and a run whose event isn't written fails."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except psycopg2.Error as error:
        raise InvalidatePoolError from error
