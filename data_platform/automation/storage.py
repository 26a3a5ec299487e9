"""How a process that executes runs talks to Dagster's own storage."""

from __future__ import annotations

from weakref import WeakSet

import dagster as dg

_KEPT: WeakSet[dg.DagsterInstance] = WeakSet()
# PgBouncer, load balancers and RDS proxies end idle connections after some minutes.
_RECYCLE_SECONDS = 120
_AT_ONCE = 8


def keep_connections(instance: dg.DagsterInstance) -> None:
    """Keeps connections to Dagster's PostgreSQL between events. dagster-postgres signs in anew for each of the forty
    statements that a table's materializations and checks take, which is most of what orchestration costs, unless it
    is told, as the webserver tells it, to keep them. Does nothing for other storages."""
    if instance not in _KEPT:
        instance.optimize_for_webserver(
            statement_timeout=0,  # none, as without a pool
            pool_recycle=_RECYCLE_SECONDS,
            max_overflow=_AT_ONCE,
        )
        _KEPT.add(instance)
