"""A session with the local cloud's Snowflake, with the ledger made, and the lake that its stage reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest
from snowflake.connector import SnowflakeConnection

from data_platform.environment import Settings
from data_platform.lake.extracts import Lake
from data_platform.lake.store import open_bucket
from data_platform.landing.ledger import MIGRATIONS
from data_platform.warehouse.connection import connect
from data_platform.warehouse.platform import ensure_platform
from data_platform_tests.warehouse.feed import Feed


@pytest.fixture(scope="session")
def cloud(local_cloud: Mapping[str, str]) -> Settings:
    settings = Settings.from_environment(local_cloud)
    with connect(settings) as connection:
        ensure_platform(connection, settings.snowflake.database, settings.lake_bucket, migrations=MIGRATIONS)
    return settings


@pytest.fixture(scope="session")
def lake(cloud: Settings) -> Lake:
    return Lake(open_bucket(cloud, cloud.lake_bucket))


@pytest.fixture
def connection(cloud: Settings) -> Iterator[SnowflakeConnection]:
    with connect(cloud) as connection:
        yield connection


@pytest.fixture
def feed(lake: Lake, connection: SnowflakeConnection) -> Feed:
    """A file feed of its own for each test, its table not made yet."""
    return Feed(lake, connection)
