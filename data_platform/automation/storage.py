"""Dagster's own storage: its PostgreSQL, with connections that are kept."""

from __future__ import annotations

from typing import Any

from dagster_postgres import DagsterPostgresStorage

# PgBouncer, load balancers and RDS proxies end idle connections after some minutes.
_RECYCLE_SECONDS = 120
_AT_ONCE = 8


class PooledPostgresStorage(DagsterPostgresStorage):
    """DagsterPostgresStorage that keeps its connections between statements. It signs in anew for each of the forty
    statements that a table's materializations and checks take, which is most of what orchestration costs, unless it is
    told, as the webserver tells it, to keep them. Configured as DagsterPostgresStorage."""

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Any) -> Any:
        """The storage of an instance's configuration."""
        storage = super().from_config_value(inst_data, config_value)
        for part in (storage.run_storage, storage.event_log_storage, storage.schedule_storage):
            _keep_connections(part)
        return storage


def _keep_connections(part: Any) -> None:
    # No limit to a statement's time, as without a pool.
    part.optimize_for_webserver(statement_timeout=0, pool_recycle=_RECYCLE_SECONDS, max_overflow=_AT_ONCE)
    end = part.dispose

    def dispose() -> None:
        """Dagster has nothing to give back, as it keeps nothing: a code server's ticks, an instance each, would pile
        connections up until the garbage is collected."""
        end()
        part._engine.dispose()

    part.dispose = dispose
