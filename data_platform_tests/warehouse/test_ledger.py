from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from snowflake.connector import SnowflakeConnection
from snowflake.connector.cursor import SnowflakeCursor

from data_platform.environment import Settings
from data_platform.feeds.spec import LoadMode
from data_platform.lake.extracts import Lake
from data_platform.landing import history, ledger, policy
from data_platform.landing.outcomes import DeliveryRow
from data_platform.warehouse import load
from data_platform.warehouse.connection import connect
from data_platform.warehouse.ledger import extracts_in_table
from data_platform.warehouse.platform import ensure_platform, load_lock
from data_platform.warehouse.rows import time_of_record
from data_platform_tests.warehouse.feed import DATABASE, Feed


def test_the_platform_can_be_ensured_any_number_of_times(
    connection: SnowflakeConnection, cloud: Settings, feed: Feed
) -> None:
    feed.prepare()
    feed.load(feed.deliver("a.csv", {"m1": 1}))
    ensure_platform(connection, DATABASE, cloud.lake_bucket, migrations=ledger.MIGRATIONS)
    assert feed.outcomes() == {"loaded": 1}
    assert feed.query(f"SELECT COUNT(*) FROM {load_lock(DATABASE, 'a', 'b').sql}") == [(1,)]


def test_deliveries_are_listed_by_what_they_are_the_last_settled_first(feed: Feed) -> None:
    feed.prepare()
    for number in range(5):
        feed.load(feed.deliver(f"{number}%.csv", {f"m{number}": number}))
    feed.load(feed.deliver("0%.csv", {"m0": 10}))

    def names(**asked: object) -> list[str]:
        rows = history.list_deliveries(feed.connection, DATABASE, partner=feed.partner, **asked)  # type: ignore[arg-type]
        return [row.file_name for row in rows]

    assert names(status="loaded") == ["0%.csv", "4%.csv", "3%.csv", "2%.csv", "1%.csv"]
    assert names(status="loaded", limit=2, offset=2) == ["3%.csv", "2%.csv"]
    assert names(status="superseded", feed="meter_readings") == ["0%.csv"]
    assert names(file_name="4%") == ["4%.csv"]
    assert names(since=datetime.now(UTC) + timedelta(hours=1)) == []
    assert names(feed="other") == []


def test_a_delivery_is_found_by_its_id_or_its_beginning(feed: Feed) -> None:
    feed.prepare()
    old, new = feed.deliver("a.csv", {"m1": 1}), feed.deliver("a.csv", {"m1": 2})
    feed.load(old)
    feed.load(new)
    found = history.delivery(feed.connection, DATABASE, new.settlement.delivery_id[:20])
    assert found is not None
    assert found.landed_at == new.settlement.landed_at
    assert history.delivery(feed.connection, DATABASE, "no such delivery") is None
    ids = [old.settlement.delivery_id, new.settlement.delivery_id, "other"]
    with feed.connection.cursor() as cursor:
        assert set(ledger.settled_deliveries(cursor, DATABASE, ids)) == set(ids[:2])


def test_the_accounts_of_a_feed_add_up(feed: Feed) -> None:
    feed.prepare()
    feed.load(feed.deliver("a.csv", {"m1": 1}, rejects=2))
    feed.load(feed.deliver("a.csv", {"m1": 1, "m2": 2}, rejects=1), feed.deliver("b.csv", {"m1": 1, "m2": 2}))
    bad = replace(feed.deliver("c.csv", {}).settlement, status="quarantined", extract_id=None, reason="bad")
    feed.load(also=[bad])
    (account,) = [each for each in history.accounting(feed.connection, DATABASE) if each.partner == feed.partner]
    assert account.landed == 4
    assert (account.loaded, account.duplicate, account.superseded, account.quarantined) == (1, 1, 1, 1)
    assert (account.rows_read, account.rows_loaded, account.rows_rejected) == (3, 2, 1)
    recent = history.accounting(feed.connection, DATABASE, since=timedelta(seconds=-5))
    assert all(each.partner != feed.partner for each in recent)


@pytest.mark.parametrize("mode", ["append", "merge", "replace"])
def test_a_load_only_adds_to_the_tables_that_feeds_share(
    feed: Feed, mode: LoadMode, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed.mode = mode
    feed.prepare()
    sent: list[str] = []
    execute = SnowflakeCursor.execute

    def noted(cursor: SnowflakeCursor, sql: str, *arguments: Any, **options: Any) -> Any:
        sent.append(sql)
        return execute(cursor, sql, *arguments, **options)

    monkeypatch.setattr(SnowflakeCursor, "execute", noted)
    first = feed.deliver("a.csv", {"m1": 1, "m2": 2}, rejects=1)
    feed.load(first)
    feed.load(first, reload=True)
    bad = replace(feed.deliver("c.csv", {}).settlement, status="quarantined", extract_id=None, reason="bad")
    feed.load(feed.deliver("a.csv", {"m1": 10}), feed.deliver("b.csv", {"m1": 1, "m2": 2}), also=[bad])
    feed.load(feed.deliver("a.csv", {"m3": 3}))
    changed = [
        re.match(r'(?:UPDATE|DELETE FROM|MERGE INTO|TRUNCATE TABLE) (?:"\w+"\.)?"PLATFORM"."(\w+)"', sql)
        for sql in sent
    ]
    assert {found[1][:9] for found in changed if found} == {"LOAD_LOCK"}
    assert feed.outcomes()["superseded"] >= 2


def test_feeds_do_not_wait_for_each_others_loads(
    feed: Feed, lake: Lake, cloud: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = ledger.write_deliveries
    with connect(cloud) as session:
        other = Feed(lake, session)
        while load_lock(DATABASE, other.partner, "meter_readings") == load_lock(
            DATABASE, feed.partner, "meter_readings"
        ):
            other = Feed(lake, session)
        for each in (feed, other):
            each.prepare()
            each.load(each.deliver("a.csv", {"m1": 1}))

        def meanwhile(cursor: SnowflakeCursor, database: str, records: Collection[DeliveryRow]) -> None:
            write(cursor, database, records)
            if cursor.connection is feed.connection:
                other.load(other.deliver("a.csv", {"m1": 2}))

        monkeypatch.setattr(ledger, "write_deliveries", meanwhile)
        feed.load(feed.deliver("a.csv", {"m1": 3}))
        assert (feed.rows(), other.rows()) == ({"m1": 3}, {"m1": 2})
        assert feed.outcomes() == other.outcomes() == {"loaded": 1, "superseded": 1}


def test_a_record_follows_the_one_that_it_corrects_although_clocks_differ(
    feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed.prepare()
    with monkeypatch.context() as patch:
        for module in (load, policy):
            patch.setattr(module, "time_of_record", lambda earlier: time_of_record(earlier) + timedelta(hours=1))
        feed.load(feed.deliver("a.csv", {"m1": 1}))
    new = feed.deliver("a.csv", {"m1": 2})
    feed.load(new)
    assert feed.outcomes() == {"loaded": 1, "superseded": 1}
    with feed.connection.cursor() as cursor:
        assert list(extracts_in_table(cursor, DATABASE, feed.spec)) == [new.manifest.extract_id]
