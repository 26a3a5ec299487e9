"""A value that Snowflake refuses quarantines its own file; the other files of the load are loaded by the same run."""

from __future__ import annotations

import io
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from snowflake.connector.cursor import SnowflakeCursor
from snowflake.connector.errors import OperationalError

from data_platform.environment import Settings
from data_platform.extract.ingest import Ingested, Ingestion
from data_platform.feeds.files import FileFeedSpec
from data_platform.lake.extracts import Lake
from data_platform.lake.store import open_bucket
from data_platform.landing.bucket import LandingBucket
from data_platform.landing.client import open_landing_bucket
from data_platform.landing.ledger import MIGRATIONS
from data_platform.landing.source import DeliverySource
from data_platform.landing.versions import Requested
from data_platform.warehouse.connection import connect
from data_platform.warehouse.platform import ensure_platform

pytestmark = pytest.mark.server
COLUMNS = [{"name": "id", "type": "string", "nullable": False}, {"name": "n", "type": "int32"}]


@dataclass
class Partner:
    """A partner of a test's own, with a feed whose files are {name}.csv."""

    settings: Settings
    bucket: LandingBucket
    lake: Lake
    name: str
    personal: bool = False

    @property
    def rules(self) -> FileFeedSpec:
        columns = [{**column, "personal": self.personal} for column in COLUMNS]
        return FileFeedSpec.of(
            {"source": self.name, "table": "f", "pattern": r".*\.csv", "contract": {"columns": columns}}
        )

    def drop(self, *names: str) -> None:
        for number, name in enumerate(names):
            self.bucket.put(f"inbound/{self.name}/{name}.csv", f"id,n\n{name},{number}\n".encode())

    def run(self, *, loads: bool = True) -> tuple[Ingested, dict[str, tuple[str, str | None]]]:
        """What was ingested, and each file's outcome with its reason."""
        database = self.settings.snowflake.database
        asked = [Requested(each.key) for page in self.bucket.pages(prefix=f"inbound/{self.name}/") for each in page]
        source = DeliverySource(self.rules, asked, bucket=self.bucket, lake=self.lake, database=database, run_id="run")
        ingestion = Ingestion(
            source, lake=self.lake, connect=lambda: connect(self.settings), database=database, run_id="run"
        )
        result = ingestion.run(loads=loads)
        ingestion.settle(result)
        return result, {row.file_name: (row.status, row.reason) for row in source.receipts}

    def spoil(self, *names: str) -> None:
        """Puts a value that COPY refuses into the committed extracts of these files, as a reader with a fault would."""
        extracted, _ = self.run(loads=False)
        for manifest in extracted.extracted:
            if manifest.origin["file_name"].removesuffix(".csv") in names:
                (file,) = manifest.files
                good = pq.read_table(io.BytesIO(bytes(self.lake.store.get(file.path).bytes())))
                bad = good.set_column(good.schema.get_field_index("n"), "n", pa.array(["a dozen"] * good.num_rows))
                written = io.BytesIO()
                pq.write_table(bad, written)
                self.lake.store.put(file.path, written.getvalue())

    def rows(self) -> list[str]:
        with connect(self.settings) as connection, connection.cursor() as cursor:
            cursor.execute(f"SELECT ID FROM RAW_{self.name}.F ORDER BY ID")
            return [key for (key,) in cursor.fetchall()]

    def accounts(self) -> dict[str, int]:
        with connect(self.settings) as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT STATUS, COUNT(*) FROM PLATFORM.CURRENT_DELIVERIES WHERE PARTNER = %s GROUP BY 1", [self.name]
            )
            return {status: int(count) for status, count in cursor.fetchall()}

    def pending(self) -> int:
        return sum(len(page) for page in self.bucket.pages(prefix=f"inbound/{self.name}/"))


@pytest.fixture
def partner(local_cloud: Mapping[str, str]) -> Partner:
    settings = Settings.from_environment(local_cloud)
    with connect(settings) as connection:
        ensure_platform(connection, settings.snowflake.database, settings.lake_bucket, migrations=MIGRATIONS)
    name = settings.landing_bucket
    bucket = open_landing_bucket(settings, name)
    return Partner(settings, bucket, Lake(open_bucket(settings, settings.lake_bucket)), f"p{uuid.uuid4().hex[:12]}")


def test_the_files_beside_it_are_loaded_and_its_reason_is_the_error(partner: Partner) -> None:
    partner.drop("a", "b", "c", "d", "e")
    partner.spoil("b", "e")
    result, outcomes = partner.run()
    assert {name for name, (status, _) in outcomes.items() if status == "loaded"} == {"a.csv", "c.csv", "d.csv"}
    status, reason = outcomes["b.csv"]
    assert status == "quarantined"
    assert "f: b.csv: Snowflake refuses a value" in str(reason) and "100038" in str(reason) and "a dozen" in str(reason)
    assert (partner.rows(), result.rows_loaded, partner.pending()) == (["a", "c", "d"], 3, 0)
    assert partner.accounts() == {"loaded": 3, "quarantined": 2}


def test_a_file_sent_again_after_it_was_refused_is_loaded(partner: Partner) -> None:
    partner.drop("a")
    partner.spoil("a")
    partner.run()
    partner.drop("a")
    assert partner.run()[1]["a.csv"][0] == "loaded"
    assert partner.accounts() == {"loaded": 1, "quarantined": 1}


def test_a_refused_personal_value_is_not_in_the_reason(partner: Partner) -> None:
    partner.personal = True
    partner.drop("a")
    partner.spoil("a")
    _, reason = partner.run()[1]["a.csv"]
    assert "100038" in str(reason) and "a dozen" not in str(reason)


@contextmanager
def outage(monkeypatch: pytest.MonkeyPatch, at: int) -> Iterator[list[str]]:
    """Statement number `at` (from 0) fails, as if the connection was lost. Yields what was executed."""
    real = SnowflakeCursor.execute
    executed: list[str] = []

    def execute(cursor: SnowflakeCursor, command: str, *rest: Any, **options: Any) -> Any:
        executed.append(command)
        if len(executed) == at + 1:
            raise OperationalError(msg="Could not connect to Snowflake backend", errno=250001, sqlstate="08001")
        return real(cursor, command, *rest, **options)

    with monkeypatch.context() as patch:
        patch.setattr(SnowflakeCursor, "execute", execute)
        yield executed


def test_an_outage_at_any_statement_quarantines_no_other_file_and_the_next_run_ends_the_job(
    partner: Partner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(at: int) -> list[str]:
        partner.name = f"p{uuid.uuid4().hex[:12]}"
        partner.drop("a", "b", "c")
        partner.spoil("b")
        with outage(monkeypatch, at) as executed, suppress(OperationalError):
            partner.run()
        return executed

    whole = run(-1)
    # Every 29th, to save time. Without its ROLLBACK, the session may not go on to the other half.
    for at in {*range(0, len(whole), 29), whole.index("ROLLBACK"), whole.index("COMMIT")}:
        run(at)
        assert partner.accounts().get("quarantined", 0) <= 1
        partner.run()
        assert (partner.rows(), partner.pending()) == (["a", "c"], 0)
        assert partner.accounts() == {"loaded": 2, "quarantined": 1}
