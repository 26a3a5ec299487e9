"""How long statements and requests may take, with the connector against a server of its own, and small limits."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from snowflake.connector import SnowflakeConnection
from snowflake.connector.errors import Error

from data_platform.environment import Settings
from data_platform.resources import WarehouseResource
from data_platform.warehouse import connection as signing_in
from data_platform.warehouse.connection import connect
from data_platform_tests.end_to_end.platform import patience
from data_platform_tests.servers.snowflake import KeyPair, SnowflakeServer
from data_platform_tests.test_environment import LOCAL_ENDPOINTS

pytestmark = pytest.mark.server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SnowflakeServer]:
    server = SnowflakeServer(tmp_path, KeyPair.generate(tmp_path / "keys"), options=("--answer-within", "0.5"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(params=["our own", "dagster-snowflake's"])
def opening(
    request: pytest.FixtureRequest, server: SnowflakeServer, monkeypatch: pytest.MonkeyPatch
) -> AbstractContextManager[SnowflakeConnection]:
    """A session, to be entered, that gives up a request four seconds after it was sent first."""
    monkeypatch.setattr(signing_in, "REQUEST_SECONDS", 4)
    settings = Settings.from_environment({**LOCAL_ENDPOINTS, **server.environment()})
    monkeypatch.setattr("data_platform.resources.snowflake.settings", lambda: settings)
    warehouse = WarehouseResource.of(settings)
    return warehouse.open() if request.param == "our own" else warehouse.dagster_snowflake().get_connection()


SIGNS_IN_WATCHED = """
import json, sys
from data_platform.environment import Settings
from data_platform.warehouse.connection import connect

asked = set()
sys.addaudithook(lambda event, given: asked.add(str(given[0])) if event == "socket.getaddrinfo" else None)
sys.addaudithook(lambda event, given: asked.add(str(given[1][0])) if event == "socket.connect" else None)
with connect(Settings.from_environment(json.loads(sys.argv[1]))) as session:
    assert session.cursor().execute("select 1").fetchone() == (1,)
print(json.dumps(sorted(asked)))
"""


def test_signing_in_contacts_snowflake_and_nobody_else(server: SnowflakeServer) -> None:
    given = json.dumps({**LOCAL_ENDPOINTS, **server.environment()})
    command = [sys.executable, "-W", "ignore", "-c", SIGNS_IN_WATCHED, given]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == ["127.0.0.1"]


def test_a_session_is_in_utc(opening: AbstractContextManager[SnowflakeConnection]) -> None:
    with opening as session:
        (row,) = session.cursor().execute("SHOW PARAMETERS LIKE 'TIMEZONE'").fetchall()  # type: ignore[union-attr]
        assert row[:2] == ("TIMEZONE", "UTC")


def holding_a_lock(server: SnowflakeServer) -> Any:
    """A cursor whose transaction holds the lock of a table."""
    cursor = server.connect().cursor()
    for statement in ("create table public.t as select 1 as id", "begin", "delete from public.t where id = 2"):
        cursor.execute(statement)
    return cursor


def test_a_statement_may_wait_longer_than_a_request_may_go_unanswered(
    server: SnowflakeServer, opening: AbstractContextManager[SnowflakeConnection], monkeypatch: pytest.MonkeyPatch
) -> None:
    cancelled: list[str] = []
    monkeypatch.setattr(SnowflakeConnection, "_cancel_query", lambda _, sql, request_id: cancelled.append(sql))
    holder = holding_a_lock(server)
    freeing = threading.Timer(7, lambda: holder.execute("commit"))
    with opening as session:
        began = time.monotonic()
        freeing.start()
        assert session.cursor().execute("delete from public.t").rowcount == 1
        assert time.monotonic() - began > 5, "it waited"
    assert not cancelled
    freeing.join()


def test_a_statement_that_outlasts_its_limit_is_cancelled(
    server: SnowflakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signing_in, "_CANCEL_SECONDS", 2)
    settings = Settings.from_environment({**LOCAL_ENDPOINTS, **server.environment()})
    with connect(settings) as session, pytest.raises(Error, match=r"(?i)interrupt|cancel"):
        session.cursor().execute("select count(*) from table(generator(rowcount => 100000000000))")


def test_a_request_that_nobody_answers_is_given_up_long_before_the_statements_limit(
    server: SnowflakeServer, opening: AbstractContextManager[SnowflakeConnection]
) -> None:
    with pytest.raises(Error, match="Failed to execute request"), opening as session:
        server.kill()
        began = time.monotonic()
        session.cursor().execute("select 1")
    assert time.monotonic() - began < patience(60)
