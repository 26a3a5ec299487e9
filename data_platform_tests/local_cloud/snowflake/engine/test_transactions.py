"""Transactions: what others see, what waits, what commits. https://docs.snowflake.com/en/sql-reference/transactions"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from snowflake.connector.cursor import SnowflakeCursor
from starlette.testclient import TestClient

from data_platform.local_cloud.snowflake.engine.instance import LocalSnowflake
from data_platform.local_cloud.snowflake.engine.s3 import StageFiles
from data_platform.local_cloud.snowflake.protocol.app import Server
from data_platform_tests.account import RealAccount
from data_platform_tests.end_to_end.platform import patience
from data_platform_tests.local_cloud.snowflake.answers import one, rows
from data_platform_tests.servers.snowflake import SnowflakeServer

Account = RealAccount | SnowflakeServer

NO_FILES = StageFiles(None, None, None, "us-east-1")


def test_nobody_else_sees_a_transaction_before_it_commits(cursor: SnowflakeCursor, other: SnowflakeCursor) -> None:
    cursor.execute("create table t (id number, v varchar)")
    cursor.execute("insert into t values (1, 'old')")
    cursor.execute("begin")
    cursor.execute("delete from t")
    cursor.execute("insert into t values (2, 'new')")
    cursor.execute("update t set v = 'newer'")
    cursor.execute("merge into t using (select 2 as id) s on t.id = s.id when matched then update set v = 'newest'")
    assert rows(cursor, "select * from t") == [(2, "newest")]
    assert rows(other, "select * from t") == [(1, "old")]
    cursor.execute("commit")
    assert rows(other, "select * from t") == [(2, "newest")]


def test_a_rollback_takes_back_everything(cursor: SnowflakeCursor) -> None:
    cursor.execute("create table t (id number)")
    cursor.execute("insert into t values (1)")
    cursor.execute("begin")
    cursor.execute("truncate table t")
    cursor.execute("insert into t values (2), (3)")
    cursor.execute("rollback")
    assert one(cursor, "select id from t") == 1


def test_commit_and_rollback_outside_a_transaction_and_a_second_begin_do_nothing(cursor: SnowflakeCursor) -> None:
    for statement in ("commit", "rollback", "begin", "start transaction", "begin transaction", "rollback"):
        assert one(cursor, statement) == "Statement executed successfully."


def test_who_sees_a_new_table_can_write_to_it(cursor: SnowflakeCursor, other: SnowflakeCursor) -> None:
    """Its comments come with it: a change that came afterwards would keep the other's transaction from committing."""
    columns = ", ".join(f"c{number} number comment 'the {number}th'" for number in range(40))
    seen = threading.Event()
    failed: list[Exception] = []

    def write() -> None:
        try:
            while not one(other, "select count(*) from information_schema.tables where table_name = 'SOON_THERE'"):
                pass
            seen.set()
            other.execute("begin")
            other.execute("insert into turn values (1)")  # DuckDB's transaction begins here
            other.execute("insert into soon_there (c0) values (1)")
            other.execute("commit")
        except Exception as error:
            failed.append(error)

    cursor.execute("create table turn (id number)")
    writer = threading.Thread(target=write)
    writer.start()
    cursor.execute(f"create table soon_there ({columns})")
    writer.join()
    assert seen.is_set() and not failed
    assert one(cursor, "select count(*) from soon_there") == 1
    assert one(cursor, "select count(comment) from information_schema.columns where table_name = 'SOON_THERE'") == 40


def test_an_open_transaction_can_write_to_a_table_that_another_session_alters(
    cursor: SnowflakeCursor, other: SnowflakeCursor
) -> None:
    """Snowflake doesn't isolate DDL across transactions
    (https://docs.snowflake.com/en/user-guide/tables-iceberg-transactions#ddl-statements)."""
    cursor.execute("create table turn (id number)")
    cursor.execute("insert into turn values (0)")
    cursor.execute("create table t (id number not null, v varchar(10))")
    alterations = (
        "alter table t add column w varchar",
        "alter table t alter column v set data type varchar(20)",
        "alter table t alter column id drop not null",
        "alter table t alter column id comment 'a number'",
        "comment on table t is 'a table'",
    )

    for number, statement in enumerate(alterations, start=1):
        cursor.execute("begin")
        cursor.execute("update turn set id = id + 1")  # DuckDB's transaction begins here
        with ThreadPoolExecutor(1) as pool:
            altered = pool.submit(other.execute, statement)
            time.sleep(0.3)
            cursor.execute("insert into t (id) values (%s)", (number,))
            cursor.execute("commit")
            altered.result(timeout=patience(60))
        assert one(other, "select count(*) from t where id = %s", (number,)) == 1
    assert one(other, "select count(*), count(w) from t") == (len(alterations), 0)


def test_ddl_commits_the_open_transaction(cursor: SnowflakeCursor, other: SnowflakeCursor) -> None:
    cursor.execute("create table t (id number)")
    cursor.execute("begin")
    cursor.execute("insert into t values (1)")
    cursor.execute("create table u (id number)")
    assert one(other, "select count(*) from t") == 1
    cursor.execute("rollback")
    assert one(cursor, "select count(*) from t") == 1


def test_each_select_before_the_first_write_sees_the_latest_commit(
    cursor: SnowflakeCursor, other: SnowflakeCursor
) -> None:
    """Snowflake isolates at READ COMMITTED, not at a snapshot of the transaction's start."""
    cursor.execute("create table t (id number)")
    other.execute("begin")
    assert one(other, "select count(*) from t") == 0
    cursor.execute("insert into t values (1)")
    assert one(other, "select count(*) from t") == 1
    other.execute("rollback")


def test_a_second_writer_waits_for_the_first_and_then_sees_its_rows(
    cursor: SnowflakeCursor, other: SnowflakeCursor
) -> None:
    cursor.execute("create table t (id number, n number)")
    cursor.execute("insert into t values (1, 1)")
    cursor.execute("begin")
    cursor.execute("update t set n = n + 1")
    committed = threading.Event()

    def second() -> None:
        other.execute("begin")
        other.execute("update t set n = n * 10")
        other.execute("commit")
        committed.set()

    thread = threading.Thread(target=second)
    thread.start()
    time.sleep(0.5)
    assert not committed.is_set()
    cursor.execute("commit")
    assert committed.wait(patience(60))
    assert one(cursor, "select n from t") == 20


def test_a_writer_that_waits_too_long_gets_snowflakes_lock_error(tmp_path: Path) -> None:
    with serving(LocalSnowflake(tmp_path, NO_FILES, lock_timeout_seconds=0.2, memory="1GB")) as server:
        first, second = (signed_in(server) for _ in range(2))
        first("CREATE TABLE T (N NUMBER)")
        first("INSERT INTO T VALUES (1)")
        first("BEGIN")
        first("DELETE FROM T")
        assert second("DELETE FROM T")["code"] == "000625"


def test_inserts_into_a_table_that_another_transaction_changes_do_not_wait(
    cursor: SnowflakeCursor, other: SnowflakeCursor
) -> None:
    cursor.execute("create table t (id number)")
    cursor.execute("insert into t values (1)")
    cursor.execute("begin")
    cursor.execute("delete from t where id = 1")
    other.execute("insert into t values (2)")
    cursor.execute("commit")
    assert one(cursor, "select id from t") == 2


def test_eight_loaders_side_by_side_lose_nothing(account: Account, cursor: SnowflakeCursor) -> None:
    cursor.execute("create table t (id number, extract varchar)")
    cursor.execute("create table loads (extract varchar, n number)")
    schema = one(cursor, "select current_schema()")
    failures: list[Exception] = []

    def load(number: int) -> None:
        try:
            with account.connect(schema=schema) as connection:
                mine = connection.cursor()
                for turn in range(5):
                    extract = f"{number}-{turn}"
                    mine.execute("begin")
                    mine.execute("delete from t where extract = %s", (extract,))
                    mine.execute("insert into t select seq4(), %s from table(generator(rowcount => 10))", (extract,))
                    mine.execute(
                        "merge into loads using (select %s as extract, 10 as n) s on loads.extract = s.extract"
                        " when matched then update set n = s.n when not matched then insert (extract, n)"
                        " values (s.extract, s.n)",
                        (extract,),
                    )
                    mine.execute("commit")
        except Exception as exc:
            failures.append(exc)

    threads = [threading.Thread(target=load, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(patience(300))
    assert not failures
    assert one(cursor, "select count(*), count(distinct extract) from t") == (400, 40)
    assert one(cursor, "select count(*), sum(n) from loads") == (40, 400)


def test_without_autocommit_the_first_write_opens_a_transaction(account: Account, other: SnowflakeCursor) -> None:
    with account.connect(autocommit=False, schema=one(other, "select current_schema()")) as connection:
        cursor = connection.cursor()
        cursor.execute("create table t (id number)")
        cursor.execute("insert into t values (1)")
        assert one(other, "select count(*) from t") == 0
        connection.commit()
        assert one(other, "select count(*) from t") == 1
        cursor.execute("delete from t")
        connection.rollback()
        assert one(cursor, "select count(*) from t") == 1


def test_a_session_that_ends_rolls_back_what_it_left_open(account: Account, cursor: SnowflakeCursor) -> None:
    cursor.execute("create table t (id number)")
    leaving = account.connect(schema=one(cursor, "select current_schema()"))
    leaving.cursor().execute("begin")
    leaving.cursor().execute("insert into t values (1)")
    leaving.cursor().execute("delete from t")
    leaving.close()
    cursor.execute("delete from t")
    assert one(cursor, "select count(*) from t") == 0


def test_a_killed_clients_transaction_gives_way_to_others(tmp_path: Path) -> None:
    """Snowflake rolls back a transaction that blocks another once it has been idle for five minutes; here sooner.

    https://docs.snowflake.com/en/sql-reference/transactions#aborting-transactions
    """
    instance = LocalSnowflake(
        tmp_path, NO_FILES, lock_timeout_seconds=30, memory="1GB", idle_in_transaction_seconds=0.1
    )
    with serving(instance) as server:
        killed, other = (signed_in(server) for _ in range(2))
        killed("CREATE TABLE T (N NUMBER)")
        killed("INSERT INTO T VALUES (1)")
        killed("BEGIN")
        killed("UPDATE T SET N = 2")
        assert other("UPDATE T SET N = N + 10")["message"] is None
        told = killed("COMMIT")
        assert not told["success"]
        assert "rolled back" in told["message"]
        assert killed("SELECT N FROM T")["success"]
        assert other("SELECT N FROM T WHERE N = 11")["data"]["total"] == 1


@contextmanager
def serving(instance: LocalSnowflake) -> Iterator[TestClient]:
    """The server in this process."""
    with closing(instance):
        yield TestClient(Server(instance, None).app())


def signed_in(server: TestClient) -> Callable[[str], dict[str, Any]]:
    """A session of its own that runs statements over the wire."""
    answer = server.post(
        "/session/v1/login-request",
        params={"databaseName": "D"},
        json={"data": {"LOGIN_NAME": "u", "SESSION_PARAMETERS": {}}},
    ).json()
    token = answer["data"]["token"]

    def run(sql: str) -> dict[str, Any]:
        headers = {"Authorization": f'Snowflake Token="{token}"'}
        response: dict[str, Any] = server.post(
            "/queries/v1/query-request", json={"sqlText": sql}, headers=headers
        ).json()
        return response

    return run
