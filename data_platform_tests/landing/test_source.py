"""From inbound to settled on the local cloud: which versions of files and of their manifests are taken, and go."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf

import pytest

from data_platform.environment import Settings
from data_platform.extract.ingest import Ingested, Ingestion
from data_platform.feeds.files import FileFeedSpec
from data_platform.lake.extracts import Lake
from data_platform.lake.store import open_bucket
from data_platform.landing.bucket import LandingBucket
from data_platform.landing.client import open_landing_bucket
from data_platform.landing.ledger import MIGRATIONS
from data_platform.landing.outcomes import DeliveryRow
from data_platform.landing.source import DeliverySource
from data_platform.landing.versions import Requested
from data_platform.warehouse.connection import connect
from data_platform.warehouse.platform import ensure_platform

pytestmark = pytest.mark.server
CONTRACT = {"columns": [{"name": "id", "type": "string", "nullable": False}], "key": ["id"]}


@dataclass(frozen=True)
class Taken:
    """What became of the requested files."""

    result: Ingested
    receipts: list[DeliveryRow]
    outcomes: dict[str, int]


@dataclass
class Partner:
    """A partner of a test's own, whose files come with a manifest."""

    settings: Settings
    bucket: LandingBucket
    rules: FileFeedSpec

    @property
    def key(self) -> str:
        return f"inbound/{self.rules.source}/f.csv"

    def drop(self, *ids: str) -> None:
        body = "\n".join(("id", *ids)).encode()
        self.bucket.put(self.key, body)
        stated = {"rows": len(ids), "sha256": hashlib.sha256(body).hexdigest()}
        self.bucket.put(f"{self.key}.json", json.dumps(stated).encode())

    def take_in(
        self,
        progress: Callable[[str], None] = lambda message: None,
        settled: bool = True,
        key: str | None = None,
        extracts: bool = True,
        loads: bool = True,
        gives_way_at: float = inf,
    ) -> Taken:
        lake, database = Lake(open_bucket(self.settings, self.settings.lake_bucket)), self.settings.snowflake.database
        requested = [Requested(key) if key else Requested(self.key, f"{self.key}.json")]
        source = DeliverySource(
            self.rules,
            requested,
            bucket=self.bucket,
            lake=lake,
            database=database,
            run_id=None,
            gives_way_at=gives_way_at,
            progress=progress,
        )
        ingestion = Ingestion(
            source,
            lake=lake,
            connect=lambda: connect(self.settings),
            database=database,
            run_id=None,
            progress=progress,
        )
        result = ingestion.run(extracts=extracts, loads=loads)
        if settled:
            ingestion.settle(result)
        return Taken(result, source.receipts, source.outcomes)

    def pending(self) -> list[str]:
        pages = self.bucket.pages(prefix=f"inbound/{self.rules.source}/")
        return [pending.file_name for page in pages for pending in page]


@pytest.fixture
def partner(local_cloud: Mapping[str, str]) -> Partner:
    settings = Settings.from_environment(local_cloud)
    with connect(settings) as connection:
        ensure_platform(connection, settings.snowflake.database, settings.lake_bucket, migrations=MIGRATIONS)
    name = settings.landing_bucket
    rules = FileFeedSpec.of(
        {
            "source": f"p{uuid.uuid4().hex[:12]}",
            "table": "f",
            "pattern": r"f\.csv",
            "contract": CONTRACT,
            "readiness": {"manifest": "{name}.json"},
        }
    )
    return Partner(settings, open_landing_bucket(settings, name), rules)


def test_a_file_that_is_left_to_another_run_stays_pending_and_is_read_by_that(partner: Partner) -> None:
    partner.drop("1")
    told: list[str] = []
    assert partner.take_in(told.append, gives_way_at=0).receipts == []
    assert told[0].endswith("f.csv is left to another run: others wait for this one")
    assert partner.pending() == ["f.csv", "f.csv.json"]
    assert partner.take_in().outcomes["loaded"] == 1


def test_the_table_alone_takes_what_is_extracted_and_says_what_is_not(partner: Partner) -> None:
    partner.drop("1")
    told: list[str] = []
    assert partner.take_in(told.append, extracts=False).receipts == []
    assert f"1 have no extract yet; materialize lake/{partner.rules.name} too" in told[-1]
    assert partner.take_in(loads=False).receipts == []
    assert partner.pending() == ["f.csv", "f.csv.json"]
    assert partner.take_in(extracts=False).outcomes["loaded"] == 1
    assert partner.pending() == []


def test_a_newer_file_and_manifest_that_come_meanwhile_stay_together(partner: Partner) -> None:
    partner.drop("1", "2")
    drops = iter([lambda: partner.drop("1", "2", "3")])
    first = partner.take_in(progress=lambda message: next(drops, lambda: None)())
    assert first.outcomes == {"loaded": 1, "duplicate": 0, "superseded": 0, "quarantined": 0}
    assert partner.pending() == ["f.csv", "f.csv.json"]
    second = partner.take_in()
    assert [(row.status, row.rows_loaded) for row in second.receipts] == [("loaded", 3)]
    assert partner.pending() == []


def test_a_manifest_that_was_overwritten_does_not_come_back(partner: Partner) -> None:
    partner.drop("1")
    partner.drop("1", "2")
    assert partner.take_in().outcomes["loaded"] == 1
    assert partner.pending() == []


def test_a_file_is_not_taken_without_the_manifest_that_it_was_ready_with(partner: Partner) -> None:
    partner.drop("1")
    manifest = partner.bucket.current(f"{partner.key}.json")
    assert manifest is not None
    partner.bucket.delete(manifest)
    assert partner.take_in().receipts == []
    assert partner.pending() == ["f.csv"]


def test_a_file_that_another_run_settles_meanwhile_fails_nothing(partner: Partner) -> None:
    partner.drop("1")
    current = partner.bucket.current(partner.key)
    assert current is not None
    partner.bucket.older_versions = lambda delivery: partner.bucket.delete(current) or []  # type: ignore[method-assign,func-returns-value]
    told: list[str] = []
    assert partner.take_in(told.append).receipts == []
    assert "settled by another run" in told[-1]


def test_what_was_loaded_and_not_settled_is_told_again_and_only_what_was_put_in_stays(partner: Partner) -> None:
    partner.drop("1", "2")
    first = partner.take_in(settled=False)
    assert (first.result.rows_loaded, first.outcomes["loaded"], partner.pending()) == (2, 1, ["f.csv", "f.csv.json"])
    again = partner.take_in()
    assert (again.result.rows_loaded, again.outcomes["loaded"], again.result.table_rows) == (2, 1, 2)
    assert partner.pending() == []
    assert [one.extract_id for one in again.result.manifests] == [one.extract_id for one in first.result.manifests]
    assert again.result.loads[0].loaded == ()


def test_a_row_that_was_overwritten_or_comes_back_has_its_own_values_in_added_columns(partner: Partner) -> None:
    contract = {"columns": [{"name": "id", "type": "string", "nullable": False}], "key": ["id"], "drift": "evolve"}
    partner.rules = FileFeedSpec.of(
        {"source": partner.rules.source, "table": "f", "pattern": ".*", "contract": contract, "load_mode": "merge"}
    )

    def deliver(name: str, text: str) -> None:
        partner.bucket.put(f"inbound/{partner.rules.source}/{name}", text.encode())
        partner.take_in(key=f"inbound/{partner.rules.source}/{name}")

    def rows() -> list[tuple[str, str | None]]:
        with connect(partner.settings) as connection, connection.cursor() as cursor:
            cursor.execute(f"SELECT ID, NOTE FROM RAW_{partner.rules.source}.F ORDER BY ID")
            return list(cursor.fetchall())

    deliver("a.csv", "id,note\n1,kept\n")
    deliver("b.csv", "id\n1\n")
    assert rows() == [("1", None)]
    deliver("b.csv", "id\n2\n")
    assert rows() == [("1", "kept"), ("2", None)]


@pytest.mark.parametrize("manifest", [b"[]", b'"rows"', b"3", b"{", b""])
def test_a_manifest_that_is_no_object_is_refused(partner: Partner, manifest: bytes) -> None:
    partner.drop("1")
    partner.bucket.put(f"{partner.key}.json", manifest)
    (row,) = partner.take_in().receipts
    assert row.status == "quarantined"
    assert "is not a JSON object" in str(row.reason)
