"""A key or password that is rotated is used by the next process that reads the settings; the old one is refused with
what to do. Nothing is deployed."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from data_platform.automation.publications import open_target
from data_platform.automation.table_sources import table_sources
from data_platform.environment import Settings, settings
from data_platform.extract.sql.system import DatabaseFailed
from data_platform.extract.web.client import ApiFailed
from data_platform.feeds.tables import TableSpec
from data_platform.local_cloud.web.carto import Carto
from data_platform.local_cloud.web.server import WebApis
from data_platform.publish.target import PublicationFailed
from data_platform_tests.extract.sql.tables import table_feed
from data_platform_tests.extract.web.tables import airtable_feed, airtable_town
from data_platform_tests.local_cloud.web.apis import TOKEN
from data_platform_tests.publish.conftest import trees
from data_platform_tests.servers.postgres import Database, database, postgres_server

__all__ = ["database", "postgres_server"]


def rows(feed: TableSpec, given: Settings) -> int:
    """What a run with these settings reads."""
    (source,) = table_sources([feed], given, lambda message: None)
    (slice_,) = source.plan(since=None, partition=None, unfinished=())
    with source.open(slice_) as reading:
        return sum(chunk.rows.num_rows for chunk in reading.chunks())


def with_connection(name: str, url: str) -> Settings:
    """The settings of a process that starts now."""
    return Settings.from_environment({f"DATA_PLATFORM_CONNECTION_{name.upper()}": url})


def test_of_a_database(database: Database) -> None:
    database.run(
        "CREATE TABLE t AS SELECT 1::bigint AS id",
        "DROP ROLE IF EXISTS rotated",
        "CREATE ROLE rotated LOGIN PASSWORD 'old-one'",
        "GRANT SELECT ON t TO rotated",
    )
    old, new = (
        with_connection("records", re.sub("//[^@]*@", f"//rotated:{password}@", database.url))
        for password in ("old-one", "new-one")
    )
    feed = table_feed({"id": "int64"})
    try:
        assert rows(feed, old) == 1
        database.run("ALTER ROLE rotated PASSWORD 'new-one'")
        with pytest.raises(DatabaseFailed, match=r"the connection records: .*password authentication failed") as failed:
            rows(feed, old)
        assert "old-one" not in str(failed.value)
        assert rows(feed, new) == 1
    finally:
        database.run("DROP OWNED BY rotated", "DROP ROLE rotated")


def test_of_an_airtable_base() -> None:
    with airtable_town(3) as town:
        old, new = (with_connection("city", town.url(key)) for key in (TOKEN, "patNew.secret"))
        assert rows(airtable_feed(), old) == 3
        town.service.tokens = {"patNew.secret": town.service.tokens[TOKEN]}
        with pytest.raises(ApiFailed, match=r"answered 401 .*make another one and put it in the connection") as failed:
            rows(airtable_feed(), old)
        assert TOKEN not in str(failed.value)
        assert rows(airtable_feed(), new) == 3


def test_of_a_carto_account(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    carto = Carto(database.url, "old-one", postgis=False)
    lake: Any = None

    def current(key: str) -> object:
        monkeypatch.setenv("DATA_PLATFORM_CONNECTION_CARTO", f"http://account:{key}@127.0.0.1:{web.port}/carto")
        settings.cache_clear()  # as in the process of the next run
        with open_target(trees(), lake, _say_nothing) as target:
            return target.current()

    with WebApis([carto]).running() as web:
        try:
            assert current("old-one") is None
            carto.key = "new-one"
            with pytest.raises(
                PublicationFailed, match=r"carto/trees: CARTO answered 401.*put it in the connection"
            ) as failed:
                current("old-one")
            assert "old-one" not in str(failed.value)
            assert current("new-one") is None
        finally:
            settings.cache_clear()


_say_nothing: Callable[[str], None] = lambda message: None  # noqa: E731
