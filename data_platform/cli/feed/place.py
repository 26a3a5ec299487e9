"""Where a feed is, beside its table: what the steps of a renaming or removal work on."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import click
import dagster as dg

from data_platform.cli.output import count, size
from data_platform.environment import Settings
from data_platform.feeds.declared import DeclaredSource, declared_feeds, declared_sources
from data_platform.feeds.spec import FeedSpec, SourceDeclaration
from data_platform.landing.client import open_landing_bucket
from data_platform.warehouse.connection import connect
from data_platform.warehouse.table import TableRef, raw_table

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

    from data_platform.lake.extracts import Lake
    from data_platform.landing.bucket import LandingBucket, Pending

_ENDED = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
_NAMED = 10


@dataclass(frozen=True)
class Place:
    """A deployment and a checkout: their settings, the folder `defs/`, and the dbt project's folder."""

    settings: Settings
    defs: Path
    dbt_project: Path

    @property
    def database(self) -> str:
        """Snowflake's database."""
        return self.settings.snowflake.database

    @contextmanager
    def session(self) -> Iterator[SnowflakeConnection]:
        """A session with Snowflake."""
        with connect(self.settings, query_tag="data-platform feed") as connection:
            yield connection

    @cached_property
    def bucket(self) -> LandingBucket:
        """The bucket that partners deliver to."""
        return open_landing_bucket(self.settings, self.settings.landing_bucket)

    @cached_property
    def lake(self) -> Lake:
        """The extracts."""
        from data_platform.lake.extracts import Lake
        from data_platform.lake.store import open_bucket

        return Lake(open_bucket(self.settings, self.settings.lake_bucket))

    def sources(self) -> list[DeclaredSource[SourceDeclaration]]:
        """The sources that are declared now."""
        return declared_sources(self.defs, SourceDeclaration)

    def feeds(self) -> dict[str, FeedSpec]:
        """The feeds that are declared now, by name."""
        return {feed.name: feed for feed in declared_feeds(self.defs)}

    def table(self, source: str, name: str) -> TableRef:
        """A feed's table."""
        return raw_table(self.database, source, name)

    @contextmanager
    def dagster(self) -> Iterator[dg.DagsterInstance | None]:
        """Dagster's instance. None if the settings name none."""
        if self.settings.dagster_home is None:
            yield None
            return
        with dg.DagsterInstance.get() as instance:
            yield instance

    def require_no_run(self, feeds: Collection[tuple[str, str]]) -> None:
        """Raises click.ClickException if a run of these feeds, or one that may read their tables, is under way."""
        ours = {dg.AssetKey([layer, *feed]) for feed in feeds for layer in ("lake", "raw")}
        under_way = [status for status in dg.DagsterRunStatus if status not in _ENDED]
        with self.dagster() as instance:
            runs = instance.get_runs(dg.RunsFilter(statuses=under_way)) if instance else ()
        found = [run for run in runs if _concerns(run, ours)]
        if found:
            told = ", ".join(f"{run.run_id[:8]} ({run.job_name}, {run.status.value})" for run in found)
            raise click.ClickException(
                f"Runs that write or read the table are under way: {told}. Nothing has changed. Wait until they have"
                " ended, or end them in Dagster's UI, and run the command again"
            )


def open_place() -> Place:
    """The place that the settings name, and this checkout."""
    from data_platform.cli.project import DBT_PROJECT, DEFS
    from data_platform.environment import settings

    wanted = settings().require_endpoints().adopt()
    return Place(wanted, DEFS, wanted.dbt_code.project_dir or DBT_PROJECT)


def of_files(what: str, found: Sequence[Pending]) -> str:
    """A line about files: how many, how large, and the names of some."""
    names = ", ".join(each.key.rsplit("/", 1)[-1] for each in found[:_NAMED])
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return f"{what} (files: {count(len(found))}, {size(sum(each.size for each in found))}: {names}{more})"


def shown(file: Path) -> str:
    """A file as people name it: from the folder that they are in."""
    return str(file.relative_to(Path.cwd())) if file.is_relative_to(Path.cwd()) else str(file)


def _concerns(run: dg.DagsterRun, ours: Collection[dg.AssetKey]) -> bool:
    """Whether a run may write or read these tables: it makes them, or assets that aren't feeds'."""
    if run.asset_selection is None:
        return True
    return any(key in ours or key.path[0] not in ("lake", "raw") for key in run.asset_selection)


def existing(connection: SnowflakeConnection, tables: Sequence[TableRef]) -> list[TableRef]:
    """Those of the tables that exist."""
    from data_platform.warehouse.schema import read_columns

    return [table for table in tables if read_columns(connection, table)]


def execute(place: Place, *statements: str) -> None:
    """Runs statements."""
    with place.session() as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
