"""Tables of a database through the whole engine: read, loaded and accounted for, however often a run is cut off."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from snowflake.connector import SnowflakeConnection

import data_platform
from data_platform.environment import Settings
from data_platform.extract.ingest import Ingested, Ingestion
from data_platform.extract.sql.source import TableSource
from data_platform.extract.sql.system import DatabaseFailed
from data_platform.feeds.databases import SqlTableSpec
from data_platform.lake.extracts import Lake
from data_platform.lake.manifest import Manifest
from data_platform.lake.writer import ExtractWriter
from data_platform.transform.process import run_dbt
from data_platform.warehouse.connection import connect
from data_platform_tests.extract.sql.tables import table_feed
from data_platform_tests.lake.rows import committed
from data_platform_tests.servers.postgres import Database

MERGE = {"load_mode": "merge", "watermark": {"column": "updated_at", "overlap_minutes": 15}}
COLUMNS: dict[str, Any] = {
    "id": {"type": "int64", "nullable": False},
    "fee": "decimal(8,2)",
    "updated_at": {"type": "timestamp", "nullable": False},
}


DBT_PROJECT = Path(data_platform.__file__).parents[1] / "dbt_project"


class Cut(Exception):
    """The fault that a test plants."""


@dataclass
class Table:
    """A table of the database, and its feed."""

    database: Database
    lake: Lake
    cloud: Settings
    connection: SnowflakeConnection
    feed: SqlTableSpec

    def run(self, *, settles: bool = True, **parts: bool) -> Ingested:
        ingestion = Ingestion(
            TableSource(self.feed, lambda: self.database.url),
            lake=self.lake,
            connect=lambda: connect(self.cloud),
            database=self.cloud.snowflake.database,
            run_id="run",
        )
        result = ingestion.run(**parts)
        if settles:
            ingestion.settle(result)
        return result

    def put(self, *rows: tuple[int, float, str]) -> None:
        """Inserts or changes rows: (id, fee, time of day)."""
        for key, fee, at in rows:
            self.database.run(
                f"INSERT INTO t VALUES ({key}, {fee}, '2026-03-07 {at}+00')"
                " ON CONFLICT (id) DO UPDATE SET fee = excluded.fee, updated_at = excluded.updated_at"
            )

    def loaded(self) -> list[tuple[int, float]]:
        with self.connection.cursor() as cursor:
            cursor.execute(f"SELECT ID, FEE FROM RAW_{self.feed.source}.T ORDER BY ID")
            return [(int(key), float(fee)) for key, fee in cursor.fetchall()]

    def there(self) -> list[tuple[int, float]]:
        return [(key, float(fee)) for key, fee in self.database.run("SELECT id, fee FROM t ORDER BY id")]

    def unloaded(self) -> list[Manifest]:
        return self.lake.unloaded(self.feed.source, self.feed.table)


@pytest.fixture
def table(
    database: Database, lake: Lake, cloud: Settings, connection: SnowflakeConnection
) -> Callable[[dict[str, Any]], Table]:
    database.run("CREATE TABLE t (id bigint PRIMARY KEY, fee numeric, updated_at timestamptz NOT NULL)")

    def made(given: dict[str, Any]) -> Table:
        feed = table_feed(COLUMNS, key=["id"], source=f"r{uuid.uuid4().hex[:10]}", **given)
        return Table(database, lake, cloud, connection, feed)

    return made


@pytest.fixture(params=["replace", "merge"])
def either(request: pytest.FixtureRequest, table: Callable[[dict[str, Any]], Table]) -> Table:
    return table(MERGE if request.param == "merge" else {"load_mode": "replace"})


def test_a_table_is_read_loaded_and_accounted_for(either: Table) -> None:
    either.put((1, 10.5, "10:00"), (2, 20, "11:00"), (3, 1234567, "11:30"))
    result = either.run()
    assert either.loaded() == [(1, 10.5), (2, 20.0)]
    (manifest,) = result.manifests
    assert (manifest.rows, manifest.rejects) == (2, 1)
    with either.connection.cursor() as cursor:
        cursor.execute(
            "SELECT RECORD_NUMBER, COLUMN_NAME, REASON, RAW_TEXT FROM PLATFORM.REJECTS WHERE SOURCE = %s",
            [either.feed.source],
        )
        assert list(cursor.fetchall()) == [
            (
                3,
                "fee",
                "fee: '1234567' has more than 6 digits before the decimal mark",
                '{"id": "3", "fee": "1234567", "updated_at": "2026-03-07 11:30:00.000000+00:00"}',
            )
        ]


def test_changes_are_merged_and_nothing_new_is_no_extract(table: Callable[[dict[str, Any]], Table]) -> None:
    one = table(MERGE)
    one.put((1, 1, "10:00"), (2, 2, "11:00"))
    one.run()
    assert (one.run().loads, one.unloaded()) == ([], [])
    one.put((1, 10, "12:00"), (3, 3, "10:59"))  # committed late, within the overlap
    assert one.run().rows_loaded == 3
    assert one.loaded() == [(1, 10.0), (2, 2.0), (3, 3.0)]


def test_a_table_that_is_read_whole_loses_what_is_gone(table: Callable[[dict[str, Any]], Table]) -> None:
    one = table({"load_mode": "replace"})
    one.put((1, 1, "10:00"), (2, 2, "11:00"))
    one.run()
    one.database.run("DELETE FROM t WHERE id = 1")
    one.run()
    assert one.loaded() == [(2, 2.0)]
    one.database.run("DELETE FROM t")
    one.run()
    assert one.loaded() == []


def test_a_run_that_is_cut_off_after_the_commit_loads_it_in_the_next(either: Table) -> None:
    either.put((1, 1, "10:00"), (2, 2, "11:00"))
    either.run(loads=False, settles=False)
    assert len(either.unloaded()) == 1
    either.put((2, 20, "12:00"))
    either.run()
    assert (either.loaded(), either.unloaded()) == (either.there(), [])


def test_a_run_that_is_cut_off_before_it_settles_doubles_nothing(either: Table) -> None:
    either.put((1, 1, "10:00"), (2, 2, "11:00"))
    either.run(settles=False)
    either.put((3, 3, "12:00"))
    either.run()
    assert (either.loaded(), either.unloaded()) == (either.there(), [])


def test_a_run_that_is_cut_off_while_it_reads_leaves_nothing(either: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    either.put((1, 1, "10:00"), (2, 2, "11:00"))

    def cut(self: ExtractWriter, batch: object) -> None:
        raise Cut

    with monkeypatch.context() as patched:
        patched.setattr(ExtractWriter, "write", cut)
        with pytest.raises(Cut):
            either.run()
    assert either.unloaded() == []
    assert not committed(either.lake, either.feed.source, "t")
    either.run()
    assert either.loaded() == either.there()


def test_a_connection_that_dies_while_it_reads_fails_the_feed_and_the_next_run_reads_again(
    either: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    either.database.run(
        "INSERT INTO t SELECT i, i, '2026-03-07'::timestamptz + i * interval '1 ms' FROM generate_series(1, 400000) i"
    )
    written = ExtractWriter.write

    def kill(self: ExtractWriter, batch: Any) -> None:
        written(self, batch)
        either.database.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'data-platform%'"
        )

    with monkeypatch.context() as patched:
        patched.setattr(ExtractWriter, "write", kill)
        with pytest.raises(DatabaseFailed, match=r"t: the database broke off after [\d,]+ rows: .*reads again"):
            either.run()
    assert either.unloaded() == []
    either.run()
    assert len(either.loaded()) == 400_000


def test_cut_off_at_each_boundary_in_turn_nothing_is_lost_or_doubled(
    table: Callable[[dict[str, Any]], Table],
) -> None:
    one = table(MERGE)
    for step in range(6):
        one.put((step, step, f"1{step}:00"), (0, step * 10, f"1{step}:30"))
        one.run(loads=step % 3 != 0, settles=step % 2 == 0)
    one.run()
    assert (one.loaded(), one.unloaded()) == (one.there(), [])


KILLED = """
import os, signal, sys
from data_platform.environment import settings
from data_platform.extract import ingest
from data_platform.extract.ingest import Ingestion
from data_platform.extract.sql.source import TableSource
from data_platform.feeds.databases import SqlTableSpec
from data_platform.lake.extracts import Lake
from data_platform.lake.store import open_bucket
from data_platform.lake.writer import ExtractWriter
from data_platform.warehouse.connection import connect

boundary, url, feed = sys.argv[1], sys.argv[2], SqlTableSpec.model_validate_json(sys.argv[3])
cloud = settings()

def kills(action):
    def killed(*arguments, **options):
        action(*arguments, **options)
        os.kill(os.getpid(), signal.SIGKILL)
    return killed

if boundary == "read":
    ExtractWriter.write = kills(ExtractWriter.write)
elif boundary == "part":  # after the first of several
    ExtractWriter.commit = kills(ExtractWriter.commit)
    ingest.READS_AT_ONCE = 1
elif boundary == "commit":
    ExtractWriter.commit = kills(ExtractWriter.commit)
elif boundary == "load":
    ingest.load_extracts = kills(ingest.load_extracts)
ingestion = Ingestion(
    TableSource(feed, lambda: url),
    lake=Lake(open_bucket(cloud, cloud.lake_bucket)),
    connect=lambda: connect(cloud),
    database=cloud.snowflake.database,
    run_id="killed",
)
ingestion.run()
"""


@pytest.mark.parametrize("boundary", ["read", "commit", "load"])
def test_a_process_that_is_killed_leaves_its_work_to_the_next(either: Table, boundary: str) -> None:
    either.put((1, 1, "10:00"), (2, 2, "11:00"))
    either.run()
    either.put((2, 20, "12:00"), (3, 3, "12:00"))
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, boundary, either.database.url, either.feed.model_dump_json()],
        env={**os.environ, **either.cloud.process_environment()},
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL
    either.put((4, 4, "13:00"))
    either.run()
    assert (either.loaded(), either.unloaded()) == (either.there(), [])


PARTS = {"load_mode": "replace", "parts": 4}
WITH_KEYS = {**MERGE, "deletions": "keys"}


def filled(one: Table, rows: int = 5_000) -> Table:
    at = "'2026-03-07'::timestamptz + i * interval '1 ms'"
    one.database.run(f"INSERT INTO t SELECT i, i, {at} FROM generate_series(1, {rows}) i")
    return one


@pytest.mark.parametrize("given", [PARTS, {**PARTS, "load_mode": "merge", "watermark": MERGE["watermark"]}])
def test_a_table_is_read_in_parts_of_one_state_of_the_database(
    table: Callable[[dict[str, Any]], Table], given: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, begun = filled(table(given)), TableSource._begin

    def changed_meanwhile(self: TableSource, *arguments: Any) -> Any:
        one.database.run("UPDATE t SET fee = fee + 1", "DELETE FROM t WHERE id % 7 = 0")
        return begun(self, *arguments)

    before = one.there()
    with monkeypatch.context() as patched:
        patched.setattr(TableSource, "_begin", changed_meanwhile)
        result = one.run()
    assert [manifest.parts for manifest in result.manifests] == [4] * 4
    assert all(manifest.rows > 100 for manifest in result.manifests)
    assert one.loaded() == before
    sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'data-platform%'"
    assert one.database.run(sessions) == [(0,)]


def test_when_the_exporting_connection_dies_nothing_is_loaded_and_the_next_run_reads_anew(
    table: Callable[[dict[str, Any]], Table], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, begun, reads = filled(table(PARTS)), TableSource._begin, []
    one.run()
    one.put((1, 1000, "12:00"))

    def exporter_dies(self: TableSource, *arguments: Any) -> Any:
        reads.append(arguments)
        if len(reads) == 3:
            one.database.run(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'data-platform%'"
                " AND state = 'idle in transaction' AND query LIKE '%pg_export_snapshot%'"
            )
        return begun(self, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(TableSource, "_begin", exporter_dies)
        with pytest.raises(DatabaseFailed, match=r"t: .* is gone, as the connection that held it has ended.*anew"):
            one.run()
    assert one.loaded()[0] == (1, 1.0)
    assert 0 < len(one.unloaded()) < 4
    one.run()
    assert (one.loaded(), one.unloaded()) == (one.there(), [])


def test_a_process_that_is_killed_amid_the_parts_leaves_a_snapshot_that_is_read_anew(
    table: Callable[[dict[str, Any]], Table],
) -> None:
    for given in (PARTS, {**WITH_KEYS, "parts": 4}):
        one = table(given)
        one.database.run("DELETE FROM t")
        filled(one)
        ended = subprocess.run(
            [sys.executable, "-c", KILLED, "part", one.database.url, one.feed.model_dump_json()],
            env={**os.environ, **one.cloud.process_environment()},
            check=False,
        )
        assert ended.returncode == -signal.SIGKILL
        assert len(one.unloaded()) == 1
        one.database.run("DELETE FROM t WHERE id % 3 = 0")
        one.run()
        assert (one.loaded(), one.unloaded()) == (one.there(), [])


def test_rows_whose_key_is_gone_are_deleted_in_one_load(table: Callable[[dict[str, Any]], Table]) -> None:
    one = table(WITH_KEYS)
    one.put((1, 1, "10:00"), (2, 2, "11:00"), (3, 3, "11:30"))
    assert [manifest.holds_keys for manifest in one.run().manifests] == [False]
    one.database.run("DELETE FROM t WHERE id IN (1, 3)")  # the newest row is gone too
    one.put((2, 20, "11:20"), (4, 4, "11:31"))
    result = one.run()
    assert ([manifest.holds_keys for manifest in result.manifests], result.rows_loaded) == ([False, True], 2)
    assert (result.rows_deleted, one.loaded()) == (2, one.there())
    assert one.run().loads == []  # neither rows nor keys have changed
    one.database.run("DELETE FROM t WHERE id = 4")
    assert [manifest.holds_keys for manifest in one.run().manifests] == [True]
    assert one.loaded() == [(2, 20.0)]
    one.put((4, 40, "11:32"))
    one.run()
    one.database.run("DELETE FROM t")
    one.run()
    assert one.loaded() == []


def test_a_read_of_keys_that_breaks_off_deletes_nothing(
    table: Callable[[dict[str, Any]], Table], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, commit = table(WITH_KEYS), ExtractWriter.commit
    one.put((1, 1, "10:00"), (2, 2, "11:00"))
    one.run()
    one.database.run("DELETE FROM t WHERE id = 1")
    one.put((3, 3, "12:00"))

    def cut(self: ExtractWriter, **given: Any) -> Manifest:
        if self._origin.get("keys"):
            raise Cut
        return commit(self, **given)

    with monkeypatch.context() as patched:
        patched.setattr(ExtractWriter, "commit", cut)
        with pytest.raises(Cut):
            one.run()
    assert one.loaded() == [(1, 1.0), (2, 2.0)]
    one.run()
    assert (one.loaded(), one.unloaded()) == (one.there(), [])


def test_with_deletions_cut_off_at_each_boundary_in_turn_and_loaded_again_the_table_is_the_databases(
    table: Callable[[dict[str, Any]], Table],
) -> None:
    one = table(WITH_KEYS)
    for step in range(8):
        one.put((step, step, f"1{step}:00"), (0, step * 10, f"1{step}:30"))
        one.database.run(f"DELETE FROM t WHERE id = {step - 2} OR id = 0 AND {step} = 5")
        one.run(loads=step % 3 != 0, settles=step % 2 == 0)
    one.run()
    assert (one.loaded(), one.unloaded()) == (one.there(), [])
    ingestion = Ingestion(
        TableSource(one.feed, lambda: one.database.url),
        lake=one.lake,
        connect=lambda: connect(one.cloud),
        database=one.cloud.snowflake.database,
        run_id="again",
    )
    ingestion.reload()
    assert one.loaded() == one.there()


MODEL = """\
select
    id, fee, row_number() over (partition by id order by _valid_from) as version,
    _valid_to is null as is_current, _deleted
from {{ source('register', 't') }}
"""


def test_the_versions_of_a_tables_rows_reach_a_dbt_model(
    table: Callable[[dict[str, Any]], Table], tmp_path: Path
) -> None:
    one = table({"load_mode": "history"})
    one.put((1, 1, "10:00"), (2, 9, "10:00"))
    one.run()
    for fee in (2, 1):
        one.put((1, fee, "10:00"))
        one.run()
    one.database.run("DELETE FROM t WHERE id = 1")
    one.run()
    one.put((1, 1, "10:00"))
    one.run()
    source = f"sources: [{{name: register, schema: RAW_{one.feed.source.upper()}, tables: [{{name: t}}]}}]\n"
    files = {
        "dbt_project.yml": "{name: fees, version: '1.0', profile: data_platform, model-paths: [models]}\n",
        "profiles.yml": (DBT_PROJECT / "profiles.yml").read_text(encoding="utf-8"),
        "models/sources.yml": f"version: 2\n{source}",
        "models/fees.sql": MODEL,
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    built = run_dbt("run", settings=one.cloud, project_dir=tmp_path, target=tmp_path / "target", seconds=300)
    assert built.returncode == 0, built.stdout
    with one.connection.cursor() as cursor:
        cursor.execute("SELECT * FROM MARTS.FEES ORDER BY ID, VERSION")
        found = [(int(id), float(fee), *others) for id, fee, *others in cursor.fetchall()]
    assert found == [
        (1, 1.0, 1, False, False),
        (1, 2.0, 2, False, False),
        (1, 1.0, 3, False, True),
        (1, 1.0, 4, True, False),
        (2, 9.0, 1, True, False),
    ]
