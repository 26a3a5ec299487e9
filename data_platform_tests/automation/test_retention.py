"""What the job `retention` deletes in the lake, the warehouse and the landing bucket."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import dagster as dg
import obstore
import pytest
from obstore.store import MemoryStore

from data_platform.automation import retention
from data_platform.automation.retention import KEY, retention_definitions
from data_platform.environment import Settings
from data_platform.lake.extracts import Lake
from data_platform.lake.store import open_bucket
from data_platform.landing.ledger import MIGRATIONS
from data_platform.warehouse.connection import connect
from data_platform.warehouse.platform import ensure_platform
from data_platform_tests.lake.rows import committed
from data_platform_tests.warehouse.feed import Feed

DAYS = timedelta(days=1)


@pytest.fixture
def feed(local_cloud: Mapping[str, str]) -> Any:
    settings = Settings.from_environment(local_cloud)
    with connect(settings) as connection:
        ensure_platform(connection, settings.snowflake.database, settings.lake_bucket, migrations=MIGRATIONS)
        yield Feed(Lake(open_bucket(settings, settings.lake_bucket)), connection)


def run_in(days: int, feed: Feed, monkeypatch: pytest.MonkeyPatch, receipts: MemoryStore) -> dict[str, Any]:
    """The numbers that the job reports, so many days from now."""

    class Then(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.now(UTC) + days * DAYS

    monkeypatch.setattr(retention, "datetime", Then)
    definitions = retention_definitions(
        ["team:platform"], extracts_days=90, rejects_days=365, receipts_days=365, cron="15 3 * * *"
    )
    resources = {
        "lake": SimpleNamespace(lake=lambda: feed.lake),
        "landing": SimpleNamespace(bucket=lambda: SimpleNamespace(store=receipts)),
        "warehouse": SimpleNamespace(open=lambda: _Open(feed.connection)),
    }
    made = dg.materialize(
        list(definitions.assets or ()),
        resources={name: dg.ResourceDefinition.hardcoded_resource(each) for name, each in resources.items()},
    )
    (event,) = made.get_asset_materialization_events()
    assert event.asset_key == KEY
    return {name: value.value for name, value in event.materialization.metadata.items()}


class _Open:
    """The test's own session, which is left open."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    def __enter__(self) -> Any:
        return self.connection

    def __exit__(self, *_: object) -> None: ...


def ids(feed: Feed) -> set[str]:
    return committed(feed.lake, feed.partner, "meter_readings")


def test_what_no_table_needs_goes_in_its_time(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    feed.prepare()
    corrected, twin = feed.deliver("a.csv", {"m1": 1}, rejects=2), feed.deliver("same.csv", {"m1": 1})
    feed.load(corrected, twin)
    kept = feed.deliver("b.csv", {"m3": 3})
    again = feed.deliver("c.csv", {"m3": 3})
    feed.load(feed.deliver("a.csv", {"m2": 2}), kept, again)
    assert feed.outcomes() == {"loaded": 3, "superseded": 1, "duplicate": 1}
    before, receipts = ids(feed), MemoryStore()
    obstore.put(receipts, "receipts/p/2020-01/old.json", b"{}")

    first = run_in(10, feed, monkeypatch, receipts)
    assert (ids(feed), first["receipts"]) == (before, 1)
    count = "SELECT COUNT(*) FROM PLATFORM.REJECTS WHERE SOURCE = %s"
    second = run_in(100, feed, monkeypatch, receipts)
    assert second["extracts"] >= 1
    assert ids(feed) == before - {corrected.manifest.extract_id}, "a duplicate's may still be needed"
    assert feed.query(count, feed.partner) == [(2,)]
    assert run_in(400, feed, monkeypatch, receipts)["rejects"] >= 2
    assert feed.query(count, feed.partner) == [(0,)]
    assert feed.rows() == {"m1": 1, "m2": 2, "m3": 3}
    feed.load(kept, reload=True)
    assert feed.rows() == {"m1": 1, "m2": 2, "m3": 3}
