"""Statements that outlast the request that brought them, and requests that are sent again.

The server of these tests tells a client after 0.1 s, not 45 s, that its statement still runs.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests
from snowflake.connector import SnowflakeConnection
from snowflake.connector.cursor import SnowflakeCursor
from snowflake.connector.errors import ProgrammingError
from snowflake.connector.network import QUERY_IN_PROGRESS_CODE

from data_platform_tests.end_to_end.platform import patience, wait_for
from data_platform_tests.local_cloud.snowflake.answers import one, refusal, rows
from data_platform_tests.servers.snowflake import KeyPair, SnowflakeServer

pytestmark = pytest.mark.stand_in  # its server answers sooner than Snowflake that a statement still runs
ENDLESS = "select sum(a.n * b.n) from numbers a cross join numbers b cross join numbers c"
ADD_ONE = "merge into t using (select 1 as id) s on false when not matched then insert (id) values (s.id)"


@pytest.fixture(scope="module")
def snowflake_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SnowflakeServer]:
    folder = tmp_path_factory.mktemp("snowflake")
    options = ("--answer-within", "0.1", "--lock-timeout", "60", "--idle-in-transaction", "60")
    server = SnowflakeServer(folder, KeyPair.generate(folder / "keys"), options=options)
    server.start()
    yield server
    server.stop()


class ByHand:
    """Requests of one session as the connector sends them, without its patience."""

    def __init__(self, server: SnowflakeServer, connection: SnowflakeConnection) -> None:
        self._url = f"http://127.0.0.1:{server.port}"
        assert connection.rest is not None
        self._headers = {"Authorization": f'Snowflake Token="{connection.rest.token}"'}

    def send(self, sql: str, request_id: str, **more: str) -> dict[str, Any]:
        """POST a statement with the given `requestId`; `more` are what a retry adds to the query."""
        url = f"{self._url}/queries/v1/query-request"
        query = {"requestId": request_id, **more}
        answer = requests.post(url, params=query, json={"sqlText": sql}, headers=self._headers, timeout=120)
        assert answer.status_code == 200
        return dict(answer.json())

    def get(self, path: str) -> requests.Response:
        return requests.get(self._url + path, headers=self._headers, timeout=120)

    def wait(self, answer: dict[str, Any]) -> dict[str, Any]:
        """The statement's answer, which an answer that it still runs leads to."""
        while answer["code"] == QUERY_IN_PROGRESS_CODE:
            assert answer["success"]
            answer = self.get(answer["data"]["getResultUrl"]).json()
        return answer


@pytest.fixture
def by_hand(snowflake_server: SnowflakeServer, connection: SnowflakeConnection) -> ByHand:
    return ByHand(snowflake_server, connection)


@pytest.fixture
def request_id() -> str:
    return str(uuid.uuid4())


@contextmanager
def table_locked(other: SnowflakeCursor, until: Callable[[], bool] = lambda: False) -> Iterator[None]:
    """Another session changes table T; what is sent within the block waits until that commits: at the block's end, or
    before it, when something is so that the block waits for."""
    other.execute("begin")
    other.execute("delete from t where id < 0")
    ended = threading.Event()

    def commit() -> None:
        wait_for(lambda: ended.is_set() or until(), 300, "what the lock is held for", every=0.02)
        other.execute("commit")

    committing = threading.Thread(target=commit)
    committing.start()
    try:
        yield
    finally:
        ended.set()
        committing.join()


def waited(caplog: pytest.LogCaptureFixture) -> bool:
    """Whether the connector was told more than once that its statement still runs."""
    return caplog.messages.count("ping pong starting...") >= 2


def test_a_query_that_waits_gives_its_rows_after_several_rounds(
    cursor: SnowflakeCursor, other: SnowflakeCursor, by_hand: ByHand, request_id: str, caplog: pytest.LogCaptureFixture
) -> None:
    cursor.execute("create table t (id number)")
    with caplog.at_level("DEBUG", "snowflake.connector.network"), table_locked(other, lambda: waited(caplog)):
        by_hand.send(ADD_ONE, request_id)
        assert one(cursor, "select id from t") == 1, "the session's statements go one after another"
    assert waited(caplog)


def test_a_statement_that_waits_for_a_lock_changes_its_rows_once(
    cursor: SnowflakeCursor, other: SnowflakeCursor, caplog: pytest.LogCaptureFixture
) -> None:
    cursor.execute("create table t (id number)")
    cursor.execute("insert into t values (1), (2)")
    with caplog.at_level("DEBUG", "snowflake.connector.network"), table_locked(other, lambda: waited(caplog)):
        cursor.execute("update t set id = id + 10")
    assert cursor.rowcount == 2
    assert rows(cursor, "select id from t order by id") == [(11,), (12,)]
    assert waited(caplog)


def test_an_error_in_a_long_statement_is_a_sql_error(
    cursor: SnowflakeCursor, other: SnowflakeCursor, caplog: pytest.LogCaptureFixture
) -> None:
    cursor.execute("create table t (id number)")
    cursor.execute("insert into t values (1)")
    with caplog.at_level("DEBUG", "snowflake.connector.network"), table_locked(other, lambda: waited(caplog)):
        error = refusal(cursor, "update t set id = ('x' || id)::number")
    assert isinstance(error, ProgrammingError)
    assert error.errno == 100038
    assert one(cursor, "select id from t") == 1


def test_a_long_statement_can_be_cancelled(cursor: SnowflakeCursor, other: SnowflakeCursor) -> None:
    cursor.execute("create table numbers as select seq4() as n from table(generator(rowcount => 1000000))")
    cursor.execute("create table t (id number)")
    started = time.monotonic()
    with pytest.raises(ProgrammingError):
        cursor.execute(f"merge into t using ({ENDLESS}) s on false when not matched then insert values (1)", timeout=1)
    assert time.monotonic() - started < patience(40)
    other.execute("delete from t")
    assert other.rowcount == 0
    assert one(cursor, "select count(*) from t") == 0


def test_a_request_that_is_sent_again_joins_the_statement_that_runs(
    cursor: SnowflakeCursor, other: SnowflakeCursor, by_hand: ByHand, request_id: str
) -> None:
    cursor.execute("create table t (id number)")
    with table_locked(other):
        first = by_hand.send(ADD_ONE, request_id)
        again = by_hand.send(ADD_ONE, request_id, clientStartTime="1", retryCount="1")
        assert first["code"] == again["code"] == QUERY_IN_PROGRESS_CODE
        assert first["data"]["getResultUrl"] == again["data"]["getResultUrl"]
    ended = by_hand.wait(first)
    assert ended["data"]["total"] == 1
    assert by_hand.wait(again) == ended
    assert one(cursor, "select count(*) from t") == 1


def test_a_request_that_is_sent_again_after_the_end_gets_the_same_answer(
    cursor: SnowflakeCursor, by_hand: ByHand, request_id: str
) -> None:
    cursor.execute("create table t (id number)")
    inserted = by_hand.wait(by_hand.send("insert into t values (1)", request_id))
    assert inserted["success"]
    assert by_hand.send("insert into t values (1)", request_id, retryCount="1") == inserted
    assert one(cursor, "select count(*) from t") == 1
    refused = by_hand.wait(by_hand.send("insert into nowhere values (1)", failing := str(uuid.uuid4())))
    cursor.execute("create table nowhere (id number)")
    assert by_hand.send("insert into nowhere values (1)", failing) == refused
    assert refused["code"] == "002003"


def test_the_same_request_id_in_another_session_is_another_statement(
    snowflake_server: SnowflakeServer, cursor: SnowflakeCursor, other: SnowflakeCursor, by_hand: ByHand, request_id: str
) -> None:
    cursor.execute("create table t (id number)")
    for session in (by_hand, ByHand(snowflake_server, other.connection)):
        assert session.wait(session.send("insert into t values (1)", request_id))["success"]
    assert one(cursor, "select count(*) from t") == 2


def test_a_statement_whose_client_has_gone_away_is_finished(
    cursor: SnowflakeCursor, other: SnowflakeCursor, by_hand: ByHand, request_id: str
) -> None:
    cursor.execute("create table t (id number)")
    with table_locked(other):
        by_hand.send(ADD_ONE, request_id)
    wait_for(lambda: one(other, "select count(*) from t"), 60, "the row of the client that went away")


def test_only_the_last_answers_are_kept(by_hand: ByHand, request_id: str) -> None:
    by_hand.wait(by_hand.send("select 1", request_id))
    assert by_hand.get(f"/queries/{request_id}/result").json()["success"]
    for number in range(16):
        by_hand.wait(by_hand.send(f"select {number}", str(uuid.uuid4())))
    assert by_hand.get(f"/queries/{request_id}/result").json()["code"] == "000709"


def test_a_session_that_ends_takes_its_answers_along(
    snowflake_server: SnowflakeServer, cursor: SnowflakeCursor, other: SnowflakeCursor, request_id: str
) -> None:
    cursor.execute("create table t (id number)")
    leaving = snowflake_server.connect(schema=one(cursor, "select current_schema()"))
    by_hand, ending = ByHand(snowflake_server, leaving), threading.Event()
    with table_locked(other, ending.is_set):
        running = by_hand.send(ADD_ONE, request_id)
        assert running["code"] == QUERY_IN_PROGRESS_CODE
        ending.set()  # a session ends when what it runs has
        leaving.close()
        assert by_hand.get(running["data"]["getResultUrl"]).status_code == 401
    cursor.execute("delete from t")
    assert cursor.rowcount == 1, "what ran was finished and let go of its lock"
