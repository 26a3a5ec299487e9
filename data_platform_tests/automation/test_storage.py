"""Dagster's storage: no connection and no statement of it waits for ever."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from data_platform.automation.storage import PooledPostgresStorage

pytestmark = pytest.mark.server


@contextmanager
def _opened(config: Mapping[str, Any]) -> Iterator[Any]:
    storage = PooledPostgresStorage.from_config_value(None, config)
    yield storage
    for part in (storage.run_storage, storage.event_log_storage, storage.schedule_storage):
        part.dispose()


def _connects(storage: Any) -> list[Any]:
    """What opens a connection, of each part of the storage."""
    return [storage.run_storage.connect, storage.event_log_storage._connect, storage.schedule_storage.connect]


def _limit(connect: Any) -> str:
    with connect() as connection:
        return str(connection.execute(text("SHOW statement_timeout")).scalar())


def test_a_statement_has_five_minutes_and_a_migration_has_no_limit(local_cloud: Mapping[str, str]) -> None:
    with _opened({"postgres_url": local_cloud["DAGSTER_POSTGRES_URL"]}) as storage:
        assert [_limit(connect) for connect in _connects(storage)] == ["5min"] * 3
        storage.run_storage.upgrade()
        assert _limit(storage.run_storage.connect) == "0"


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
