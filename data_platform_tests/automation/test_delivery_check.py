"""For how long a quarantined file keeps the check `deliveries` at WARN, and what resolves it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import dagster as dg
import pytest

from data_platform.automation import delivery_check
from data_platform.automation.delivery_check import delivery_check_result
from data_platform.automation.feed_keys import raw_key
from data_platform.environment import Settings
from data_platform.feeds.spec import LoadMode
from data_platform.lake.extracts import Lake
from data_platform.lake.store import open_bucket
from data_platform.landing.ledger import MIGRATIONS
from data_platform.landing.outcomes import Settlement
from data_platform.landing.source import DeliverySource
from data_platform.warehouse.connection import connect
from data_platform.warehouse.platform import ensure_platform
from data_platform_tests.warehouse.feed import DATABASE, Feed

FeedOf = Callable[[LoadMode], Feed]


@pytest.fixture
def feed_of(local_cloud: Mapping[str, str]) -> FeedOf:
    settings = Settings.from_environment(local_cloud)
    connection = connect(settings)
    ensure_platform(connection, settings.snowflake.database, settings.lake_bucket, migrations=MIGRATIONS)

    def of(mode: LoadMode) -> Feed:
        feed = Feed(Lake(open_bucket(settings, settings.lake_bucket)), connection, mode=mode)
        feed.prepare()
        return feed

    return of


def bad(feed: Feed, file_name: str, partition: str | None = None) -> Settlement:
    """A file that the run has put in quarantine."""
    delivered = feed.deliver(file_name, {}, partition=partition).settlement
    return replace(delivered, status="quarantined", reason="no column meter_id", extract_id=None)


def check_of_a_later_run(feed: Feed) -> dg.AssetCheckResult:
    """The check's result in a run that has landed nothing bad itself."""
    nothing: Any = None
    source = DeliverySource(feed.spec, [], bucket=nothing, lake=feed.lake, database=DATABASE, run_id=None)
    return delivery_check_result(source, feed.connection, raw_key(feed.spec))


def test_a_good_file_leaves_the_check_at_warn_while_another_is_in_quarantine(feed_of: FeedOf) -> None:
    feed = feed_of("append")
    feed.load(feed.deliver("a.csv", {"m1": 1}), also=[bad(feed, "b.csv")])
    feed.load(feed.deliver("c.csv", {"m2": 2}))
    found = check_of_a_later_run(feed)
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert found.description == "b.csv is quarantined: no column meter_id"
    assert found.metadata["still quarantined"] == dg.MetadataValue.int(1)


def test_a_later_file_with_its_name_resolves_it_as_a_replay_does(feed_of: FeedOf) -> None:
    feed = feed_of("append")
    feed.load(feed.deliver("a.csv", {"m1": 1}), also=[bad(feed, "b.csv"), bad(feed, "c.csv"), bad(feed, "c.csv")])
    assert check_of_a_later_run(feed).metadata["still quarantined"] == dg.MetadataValue.int(2), "c.csv counts once"
    feed.load(feed.deliver("b.csv", {"m2": 2}), feed.deliver("c.csv", {"m3": 3}))
    assert check_of_a_later_run(feed).passed


def test_the_same_file_that_is_loaded_under_another_contract_is_resolved(feed_of: FeedOf) -> None:
    feed = feed_of("append")
    quarantined, good = bad(feed, "b.csv"), feed.deliver("b.csv", {"m1": 1})
    feed.load(feed.deliver("a.csv", {"m0": 0}), also=[quarantined])
    same = replace(good.settlement, delivery_id=quarantined.delivery_id, landed_at=quarantined.landed_at)
    feed.load(replace(good, settlement=same))
    assert check_of_a_later_run(feed).passed


def test_a_later_file_of_its_partition_resolves_it_only_where_it_replaces_the_partition(feed_of: FeedOf) -> None:
    for mode, resolved in (("replace", True), ("append", False)):
        feed = feed_of(mode)
        feed.load(feed.deliver("a.csv", {"m1": 1}, partition="2026-03-07"), also=[bad(feed, "b.csv", "2026-03-08")])
        feed.load(feed.deliver("c.csv", {"m2": 2}, partition="2026-03-07"))
        assert not check_of_a_later_run(feed).passed, mode
        feed.load(feed.deliver("d.csv", {"m3": 3}, partition="2026-03-08"))
        assert check_of_a_later_run(feed).passed == resolved, mode


def test_ten_are_named_and_old_ones_are_forgotten(feed_of: FeedOf, monkeypatch: pytest.MonkeyPatch) -> None:
    feed = feed_of("append")
    feed.load(feed.deliver("a.csv", {"m1": 1}), also=[bad(feed, f"{number}.csv") for number in range(13)])
    found = check_of_a_later_run(feed)
    assert str(found.description).count("is quarantined") == 10
    assert str(found.description).endswith("; 3 more files are quarantined")
    monkeypatch.setattr(delivery_check, "RECENT", timedelta(0))
    assert check_of_a_later_run(feed).passed
