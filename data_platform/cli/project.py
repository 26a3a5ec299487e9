"""The project's folders, its declared feeds, and the local cloud that commands start when they need it."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

import data_platform
from data_platform.environment import Settings, SettingsError, settings

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

    from data_platform.feeds.spec import FeedSpec
    from data_platform.landing.bucket import LandingBucket

Feed = TypeVar("Feed", bound="FeedSpec")
PACKAGE = Path(data_platform.__file__).parent
ROOT = PACKAGE.parent
DEFS = PACKAGE / "defs"
DBT_PROJECT = ROOT / "dbt_project"
DEMO = PACKAGE / "local_cloud" / "demo" / "day.py"
"""The demo's entry point. A team that has deleted the demo runs without it."""
WORKSPACE = ROOT / "workspace.yaml"
DAY = click.DateTime(formats=["%Y-%m-%d"])
"""The type of an option that is a day."""


def bring_up(report: Callable[[str], None]) -> Settings:
    """Starts the local cloud in `local`, unless it is up, and returns the settings, adopted: libraries that read the
    environment see them too. Raises SettingsError, and whatever starting the local cloud raises."""
    wanted = settings()
    if wanted.environment == "local":
        from data_platform.local_cloud.commands import declared_cloud

        declared_cloud(None).up(report)
        settings.cache_clear()  # the ports are known now
        wanted = settings()
    wanted.require_endpoints()
    if wanted.dagster_home is None:
        raise SettingsError(
            "DAGSTER_HOME is missing: expected the folder of this deployment's dagster.yaml, which says where runs"
            " are stored, for example DAGSTER_HOME=/opt/dagster"
        )
    return wanted.adopt()


@contextmanager
def open_ledger(command: str) -> Iterator[tuple[Settings, SnowflakeConnection]]:
    """The settings, and a connection whose statements are tagged `data-platform <command>`. Raises SettingsError, and
    what `require_current` raises where the PLATFORM schema is of another version."""
    from data_platform.cli.connector import import_connector

    import_connector()
    from data_platform.landing.ledger import MIGRATIONS
    from data_platform.warehouse.connection import connect
    from data_platform.warehouse.migrations import require_current

    wanted = settings().require_endpoints()
    with connect(wanted, query_tag=f"data-platform {command}") as connection:
        require_current(connection, wanted.snowflake.database, MIGRATIONS)
        yield wanted, connection


def ensure_ledger(wanted: Settings) -> None:
    """Creates or migrates the PLATFORM schema of the local cloud; elsewhere `schema apply` does."""
    if wanted.environment != "local":
        return
    from data_platform.landing.ledger import MIGRATIONS
    from data_platform.warehouse.connection import connect
    from data_platform.warehouse.platform import ensure_platform

    with connect(wanted) as connection:
        ensure_platform(connection, wanted.snowflake.database, wanted.lake_bucket, migrations=MIGRATIONS)


def landing_bucket(wanted: Settings) -> LandingBucket:
    """The bucket that partners deliver to."""
    from data_platform.landing.client import open_landing_bucket

    return open_landing_bucket(wanted, wanted.landing_bucket)


def declared() -> list[FeedSpec]:
    """Every feed, read without loading definitions. Raises DefinitionInvalid."""
    from data_platform.feeds.declared import declared_feeds

    return declared_feeds(DEFS)


def declared_feed(name: str) -> FeedSpec:
    """The feed of that name, `<source>/<table>`. Raises click.BadParameter."""
    feeds = {feed.name: feed for feed in declared()}
    if name not in feeds:
        near = difflib.get_close_matches(name, feeds, n=1)
        hint = f"; did you mean {near[0]}?" if near else f"; the feeds are {', '.join(feeds)}"
        raise click.BadParameter(f"unknown feed {name!r}{hint}")
    return feeds[name]


def of_kind(feeds: Iterable[FeedSpec], kind: type[Feed]) -> list[Feed]:
    """The feeds of a kind."""
    return [feed for feed in feeds if isinstance(feed, kind)]
