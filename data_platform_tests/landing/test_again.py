"""Archived files read again under a changed contract: what the table, the ledger and the accounts say, also if it is
cut off at any statement."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from snowflake.connector.cursor import SnowflakeCursor

from data_platform.environment import Settings
from data_platform.extract.extract import extract
from data_platform.extract.ingest import Ingestion
from data_platform.feeds.files import FileFeedSpec
from data_platform.feeds.spec import LoadMode
from data_platform.lake.extracts import Lake
from data_platform.lake.store import open_bucket
from data_platform.landing.again import (
    ArchivedDeliveries,
    ArchiveIncomplete,
    ReadAgain,
    copy_to_quarantine,
    rows_to_read,
)
from data_platform.landing.bucket import LandingBucket
from data_platform.landing.client import open_landing_bucket
from data_platform.landing.history import accounting, list_deliveries
from data_platform.landing.ledger import MIGRATIONS
from data_platform.landing.outcomes import DeliveryRow
from data_platform.landing.settle import settled_key
from data_platform.landing.source import DeliverySource
from data_platform.landing.versions import Requested
from data_platform.warehouse.connection import connect
from data_platform.warehouse.load_rules import LoadRefused
from data_platform.warehouse.platform import ensure_platform
from data_platform.warehouse.rebuild import RebuildOvertaken, Rebuilt, rebuild_table
from data_platform.warehouse.schema import SchemaRefused, read_columns
from data_platform.warehouse.table import raw_table

pytestmark = pytest.mark.server


@dataclass
class Partner:
    """A partner of a test's own, with a feed of `id` and `n`, whose type is that of the contract of the day."""

    settings: Settings
    bucket: LandingBucket
    lake: Lake
    name: str
    type: str = "string"
    mode: LoadMode = "append"

    @property
    def rules(self) -> FileFeedSpec:
        columns = [{"name": "id", "type": "string", "nullable": False}, {"name": "n", "type": self.type}]
        return FileFeedSpec.of(
            {
                "source": self.name,
                "table": "f",
                "pattern": r".*\.csv",
                "contract": {"columns": columns, "key": ["id"]},
                "load_mode": self.mode,
                "reject_limit": {"share": 0.5},
            }
        )

    @property
    def database(self) -> str:
        return self.settings.snowflake.database

    def deliver(self, name: str, *rows: str) -> None:
        """Drops a file, loads and settles it."""
        self.bucket.put(f"inbound/{self.name}/{name}", "\n".join(("id,n", *rows)).encode())
        asked = [Requested(f"inbound/{self.name}/{name}")]
        source = DeliverySource(
            self.rules, asked, bucket=self.bucket, lake=self.lake, database=self.database, run_id="run"
        )
        ingestion = Ingestion(
            source, lake=self.lake, connect=lambda: connect(self.settings), database=self.database, run_id="run"
        )
        ingestion.settle(ingestion.run())

    def deliveries(self) -> list[DeliveryRow]:
        with connect(self.settings) as connection, connection.cursor() as cursor:
            return rows_to_read(cursor, self.database, self.rules)

    def read_again(self, rows: Sequence[DeliveryRow] | None = None) -> Rebuilt:
        source = ArchivedDeliveries(
            self.rules,
            self.deliveries() if rows is None else rows,
            bucket=self.bucket,
            lake=self.lake,
            database=self.database,
            run_id="again",
        )
        slices = source.plan(since=None, partition=None, unfinished=())
        manifests = [extract(self.lake, source, each, run_id="again") for each in slices]
        by_delivery = {str(each.origin["delivery_id"]): each for each in manifests}
        policy = ReadAgain(self.database, self.rules, by_delivery, lake=self.lake, run_id="again")
        return rebuild_table(
            lambda: connect(self.settings), self.database, self.rules, policy, run_id="again", query_tag="test"
        )

    def rows(self) -> dict[str, Any]:
        """{id: n} of the table; fails on a doubled id."""
        table = raw_table(self.database, self.name, "f")
        with connect(self.settings) as connection, connection.cursor() as cursor:
            found = cursor.execute(f"SELECT ID, N FROM {table.sql}").fetchall()
        assert len(dict(found)) == len(found), found
        return dict(found)

    def add_up(self) -> None:
        """The accounts are true, and the table's rows are those of the ledger's extracts."""
        with connect(self.settings) as connection:
            (account,) = [each for each in accounting(connection, self.database) if each.partner == self.name]
            there = read_columns(connection, raw_table(self.database, self.name, "f__next"))
        assert account.landed == account.loaded + account.duplicate + account.superseded + account.quarantined
        assert account.rows_read == account.rows_loaded + account.rows_rejected
        assert len(self.rows()) == account.rows_loaded
        assert there == [], "the table beside it is gone"


@pytest.fixture
def partner(local_cloud: Mapping[str, str]) -> Partner:
    settings = Settings.from_environment(local_cloud)
    with connect(settings) as connection:
        ensure_platform(connection, settings.snowflake.database, settings.lake_bucket, migrations=MIGRATIONS)
    lake = Lake(open_bucket(settings, settings.lake_bucket))
    bucket = open_landing_bucket(settings, settings.landing_bucket)
    return Partner(settings, bucket, lake, f"p{uuid.uuid4().hex[:12]}")


@pytest.mark.parametrize("mode", ["append", "merge"])
def test_a_changed_type_is_read_again_and_loads_go_on(partner: Partner, mode: LoadMode) -> None:
    partner.mode = mode
    partner.deliver("a.csv", "1,10", "2,many", "3,30")
    partner.deliver("b.csv", "4,40")
    partner.deliver("twin.csv", "4,40")
    partner.type = "int32"
    with pytest.raises(SchemaRefused, match=f"`data-platform feed re-extract {partner.name}/f`"):
        partner.deliver("c.csv", "5,50")
    assert partner.read_again() == Rebuilt(rows_before=4, rows_after=3, rejects=1)
    assert partner.rows() == {"1": 10, "3": 30, "4": 40}
    partner.add_up()
    partner.deliver("c.csv", "5,50")
    partner.deliver("b.csv", "6,60")
    assert partner.rows() == {"1": 10, "3": 30, "4": 40, "5": 50, "6": 60}, "the twin of the file that went, too"
    partner.add_up()


def test_read_again_once_more_nothing_changes(partner: Partner) -> None:
    partner.deliver("a.csv", "1,10", "2,x")
    partner.type = "int32"
    partner.read_again()
    before = partner.deliveries()
    assert partner.read_again() == Rebuilt(rows_before=1, rows_after=1, rejects=0)
    assert partner.deliveries() == before


def test_some_files_alone_are_read_again_unless_the_type_has_changed(partner: Partner) -> None:
    partner.deliver("a.csv", "1,10")
    partner.deliver("b.csv", "2,20")
    partner.type = "int32"
    first = partner.deliveries()[:1]
    with pytest.raises(LoadRefused, match=r"has n as string, .* int32"):
        partner.read_again(first)
    assert partner.rows() == {"1": "10", "2": "20"}
    partner.read_again()
    partner.type = "int64"
    assert partner.read_again(first) == Rebuilt(2, 2, 0)
    assert partner.rows() == {"1": 10, "2": 20}
    partner.add_up()


@pytest.mark.parametrize("mode", ["append", "merge"])
def test_a_file_that_is_refused_now_is_quarantined_and_its_rows_go(partner: Partner, mode: LoadMode) -> None:
    partner.mode = mode
    partner.deliver("a.csv", "1,10", "2,20")
    partner.deliver("words.csv", "3,one", "4,two")
    partner.deliver("twin.csv", "3,one", "4,two")
    rows = {row.file_name: row for row in partner.deliveries()}
    partner.type = "int32"
    copied = copy_to_quarantine(partner.bucket, [rows["words.csv"], rows["twin.csv"]])
    assert partner.read_again() == Rebuilt(rows_before=4, rows_after=2, rejects=4)
    partner.bucket.delete(*copied)
    assert partner.rows() == {"1": 10, "2": 20}
    partner.add_up()
    with connect(partner.settings) as connection:
        listed = list_deliveries(connection, partner.database, partner=partner.name, status="quarantined")
    assert {row.file_name for row in listed} == {"words.csv", "twin.csv"}
    for row in listed:
        assert "2 of 2 rows break the contract" in str(row.reason)
        assert partner.bucket.exists(settled_key(row)), "where `deliveries replay` takes it from"
        assert not partner.bucket.exists(settled_key(rows[row.file_name]))
    partner.type = "string"
    partner.read_again()
    partner.deliver("words.csv", "3,one", "4,two")
    assert set(partner.rows()) == {"1", "2", "3", "4"}
    partner.add_up()


def test_a_dropped_table_comes_back(partner: Partner) -> None:
    partner.deliver("a.csv", "1,10")
    with connect(partner.settings) as connection, connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE {raw_table(partner.database, partner.name, 'f').sql}")
    assert partner.read_again() == Rebuilt(rows_before=0, rows_after=1, rejects=0)


def test_a_file_that_the_archive_has_lost_is_named(partner: Partner) -> None:
    partner.deliver("a.csv", "1,10")
    (row,) = partner.deliveries()
    stored = partner.bucket.current(settled_key(row))
    assert stored is not None
    partner.bucket.delete(stored)
    with pytest.raises(ArchiveIncomplete, match=r"no longer has a\.csv"):
        partner.read_again()


def test_a_load_that_comes_in_between_is_in_the_new_table(partner: Partner, monkeypatch: pytest.MonkeyPatch) -> None:
    partner.deliver("a.csv", "1,10")
    late = iter([("b.csv", "2,20")])

    def load_late(command: str) -> None:
        if "SWAP" not in command and "COPY INTO" in command and "__NEXT" in command:
            for name, row in late:
                partner.deliver(name, row)

    with watched(monkeypatch, after=load_late):
        assert partner.read_again().rows_after == 2
    assert partner.rows() == {"1": "10", "2": "20"}
    partner.add_up()


def test_loads_that_keep_coming_change_nothing(partner: Partner, monkeypatch: pytest.MonkeyPatch) -> None:
    partner.deliver("a.csv", "1,10")
    numbers = iter(range(2, 20))

    def load_late(command: str) -> None:
        if command.startswith("CREATE OR REPLACE TABLE") and "__NEXT" in command:
            number = next(numbers)
            partner.deliver(f"{number}.csv", f"{number},0")

    with watched(monkeypatch, after=load_late), pytest.raises(RebuildOvertaken, match="loads kept coming"):
        partner.read_again()
    assert len(partner.rows()) == 4


class Cut(Exception):
    """The fault that the test plants."""


@contextmanager
def watched(monkeypatch: pytest.MonkeyPatch, after: Any) -> Iterator[None]:
    """Calls `after` with each statement that was executed."""
    real = SnowflakeCursor.execute

    def execute(cursor: SnowflakeCursor, command: str, *rest: Any, **options: Any) -> Any:
        answer = real(cursor, command, *rest, **options)
        after(command)
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(SnowflakeCursor, "execute", execute)
        yield


def test_cut_off_anywhere_it_is_done_or_not_and_the_next_try_completes_it(
    partner: Partner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is done between two of these statements is one transaction."""
    partner.mode = "merge"
    partner.deliver("a.csv", "1,10", "2,x")
    partner.deliver("b.csv", "3,30")
    whole: list[str] = []
    partner.type = "int32"
    with watched(monkeypatch, after=whole.append):
        partner.read_again()
    ends = ("CREATE OR REPLACE TABLE", "UPDATE", "COMMIT", "ALTER")
    changing = [at for at, sql in enumerate(whole) if sql.startswith(ends)]
    assert len(changing) == 5
    as_read: dict[str, dict[str, Any]] = {"string": {"1": "10", "2": "x", "3": "30"}, "int32": {"1": 10, "3": 30}}
    for at in changing:
        before, partner.type = partner.type, "string" if partner.type == "int32" else "int32"
        executed: list[str] = []

        def cut(command: str, at: int = at, executed: list[str] = executed) -> None:
            executed.append(command)
            if len(executed) == at + 1:
                raise Cut

        with watched(monkeypatch, after=cut), pytest.raises(Cut):
            partner.read_again()
        assert partner.rows() in (as_read[before], as_read[partner.type]), f"after {executed[-1][:60]}"
        partner.read_again()
        assert partner.rows() == as_read[partner.type], f"after {executed[-1][:60]}"
        partner.add_up()
