"""Reads of MariaDB, Oracle and any database by SQLAlchemy that are killed at any boundary are finished by the next run.
PostgreSQL's are in test_engine.py."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from data_platform.extract.ingest import Ingestion
from data_platform.extract.sql.mysql import packets
from data_platform.extract.sql.source import TableSource
from data_platform.extract.sql.system import DatabaseFailed
from data_platform.feeds.databases import SqlTableSpec
from data_platform.lake.extracts import Lake
from data_platform.lake.writer import ExtractWriter
from data_platform_tests.boundaries import Killed, kill_process, killed_before
from data_platform_tests.end_to_end.platform import wait_for
from data_platform_tests.extract.sql.oracle_double import OracleDouble, OracleTable, installed
from data_platform_tests.extract.sql.tables import HasUrl, table_feed
from data_platform_tests.extract.sql.test_alchemy import Lite
from data_platform_tests.forks import Forks, forks
from data_platform_tests.servers.mariadb import MariaDatabase, running_mariadb
from data_platform_tests.warehouse.in_process import DATABASE, InProcess, in_process

__all__ = ["forks"]

NOON = datetime(2026, 3, 7, 12, tzinfo=UTC)
EFFECTS = 6
"""Of a run: the extract's mark, its file, its manifest, the load's begin and commit, the mark's end."""
FEED = table_feed(
    {
        "id": {"type": "int64", "nullable": False},
        "value": "int64",
        "w": {"type": "timestamp", "nullable": False, "time_zone": "UTC"},
    },
    key=["id"],
    load_mode="merge",
    watermark={"column": "w", "overlap_minutes": 15},
)
Change = Callable[[int], None]
"""Changes the row 0 and adds one, at a later time."""


def change_sql(run: Callable[..., Any]) -> Change:
    def change(number: int) -> None:
        at = f"'{NOON + timedelta(hours=number):%Y-%m-%d %H:%M:%S}'"
        run(f"REPLACE INTO t VALUES (0, {number}, {at})", f"REPLACE INTO t VALUES ({number}, {number}, {at})")

    return change


def of_maria(maria: MariaDatabase) -> tuple[HasUrl, Change]:
    maria.run("CREATE TABLE t (id bigint PRIMARY KEY, value bigint, w datetime)")
    return maria, change_sql(maria.run)


def of_sqlite(folder: Path) -> tuple[HasUrl, Change]:
    lite = Lite(folder / "records.db")
    lite.run("CREATE TABLE t (id bigint PRIMARY KEY, value bigint, w datetime)")
    return lite, change_sql(lite.run)


def of_oracle(monkeypatch: pytest.MonkeyPatch) -> tuple[HasUrl, Change]:
    table = OracleTable({"ID": ("NUMBER", 18, 0), "VALUE": ("NUMBER", 18, 0), "W": ("TIMESTAMP(6)", None, 6)})
    double = installed(OracleDouble({"T": table}), monkeypatch)

    def change(number: int) -> None:
        at = (NOON + timedelta(hours=number)).replace(tzinfo=None)
        table.rows[:] = [row for row in table.rows if row[0] not in (0, number)] + [
            (n, number, at) for n in (0, number)
        ]

    return double, change


def ingest(url: str, session: InProcess, lake: Lake, feed: SqlTableSpec = FEED) -> None:
    """A run of the table."""
    connect: Any = lambda **_: nullcontext(session)  # noqa: E731
    source = TableSource(feed, lambda: url)
    ingestion = Ingestion(source, lake=lake, connect=connect, database=DATABASE, run_id="a run")
    ingestion.settle(ingestion.run())


def run(url: str, folder: str, before: str | None) -> None:
    """A run in a process of its own, which is killed before an effect, or amid the read."""
    if before == "amid the read":
        ExtractWriter.write = lambda *_: kill_process()  # type: ignore[method-assign]
    with in_process(Path(folder)) as (session, lake), killed_before(before, kill_process):
        ingest(url, session, lake)


def check(session: InProcess, lake: Lake, last: int) -> None:
    """The table has each row once, as it is in the database."""
    with session.cursor() as cursor:
        cursor.execute("SELECT ID, VALUE FROM RAW_RECORDS.T ORDER BY ID")
        assert [tuple(map(int, row)) for row in cursor.fetchall()] == [(0, last), *((n, n) for n in range(1, last + 1))]
    assert lake.unloaded("records", "t") == []


def test_of_mariadb_killed_at_any_boundary_the_next_run_has_each_row_once(maria: MariaDatabase, tmp_path: Path) -> None:
    _kill_at_each_boundary(*of_maria(maria), tmp_path)


def test_of_oracle_killed_at_any_boundary_the_next_run_has_each_row_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _kill_at_each_boundary(*of_oracle(monkeypatch), tmp_path)


def test_by_sqlalchemy_killed_at_any_boundary_the_next_run_has_each_row_once(tmp_path: Path) -> None:
    _kill_at_each_boundary(*of_sqlite(tmp_path), tmp_path)


def _kill_at_each_boundary(database: HasUrl, change: Change, folder: Path) -> None:
    def die(*_: Any) -> None:
        raise Killed

    with in_process(folder) as (session, lake):
        change(1)
        ingest(database.url, session, lake)
        for number in range(EFFECTS + 1):
            change(number + 2)
            with InProcess(session.instance) as ending, pytest.MonkeyPatch.context() as patch:
                if number == EFFECTS:
                    patch.setattr(ExtractWriter, "write", die)
                with killed_before(number) as passed, pytest.raises(Killed):
                    ingest(database.url, ending, lake)
            ingest(database.url, session, lake)
            check(session, lake, number + 2)
        change(EFFECTS + 3)
        with killed_before(None) as passed:
            ingest(database.url, session, lake)
    assert len(passed) == EFFECTS


def test_a_process_that_is_killed_loses_and_doubles_nothing(forks: Forks, maria: MariaDatabase, tmp_path: Path) -> None:
    database, change = of_maria(maria)
    for number, effect in enumerate(("amid the read", "manifest.json", "BEGIN", "COMMIT", "delete"), 1):
        change(number)
        assert forks.killed(run, database.url, str(tmp_path), effect)
    assert forks.ended(run, database.url, str(tmp_path), None) == 0
    with in_process(tmp_path) as (session, lake):
        check(session, lake, 5)


@pytest.mark.server
def test_a_server_that_is_killed_amid_a_read_fails_it_and_the_next_run_reads_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(packets, "ROWS_A_PAGE", 1000)
    feed = table_feed({"id": "int64", "s": "string"})
    written = ExtractWriter.write
    with running_mariadb() as url, in_process(tmp_path) as (session, lake):
        maria = MariaDatabase(f"{url}records")
        MariaDatabase(url).run("CREATE DATABASE records")
        maria.run("CREATE TABLE t AS SELECT seq AS id, REPEAT('x', 200) AS s FROM seq_1_to_300000")
        ((pid_file,),) = maria.run("SELECT @@pid_file")
        pid = int(Path(pid_file).read_text())
        command = Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:-1]

        def kill_server(writer: ExtractWriter, batch: Any) -> None:
            written(writer, batch)
            if Path(f"/proc/{pid}").exists():
                os.kill(pid, signal.SIGKILL)

        with monkeypatch.context() as patch:
            patch.setattr(ExtractWriter, "write", kill_server)
            with pytest.raises(DatabaseFailed, match=r"records/t: the database broke off after [\d,]+ rows: .*again"):
                ingest(maria.url, session, lake, feed)
        assert lake.unloaded("records", "t") == []
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
            try:
                wait_for(lambda: _answers(maria), 60, "the server is up again")
                ingest(maria.url, session, lake, feed)
            finally:
                server.terminate()
        with session.cursor() as cursor:
            cursor.execute("SELECT COUNT(*), COUNT(DISTINCT ID) FROM RAW_RECORDS.T")
            assert cursor.fetchall() == [(300_000, 300_000)]


def _answers(maria: MariaDatabase) -> bool:
    try:
        return bool(maria.run("SELECT 1"))
    except Exception:
        return False
