"""The steps of `data-platform ledger rebuild`. What is recovered is decided in `warehouse.recovery`,
`landing.recovery` and `geocode.recovery`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import click

from data_platform.cli.connector import import_connector
from data_platform.cli.output import add_row, console, count, show, table
from data_platform.cli.project import DEFS, declared, landing_bucket
from data_platform.environment import Settings, settings
from data_platform.feeds.files import FileFeedSpec
from data_platform.feeds.geocoded import GeocodedSpec
from data_platform.program import as_typed

if TYPE_CHECKING:
    from rich.progress import Progress
    from snowflake.connector import SnowflakeConnection

    from data_platform.feeds.spec import FeedSpec
    from data_platform.lake.extracts import Lake
    from data_platform.landing.bucket import LandingBucket
    from data_platform.landing.outcomes import DeliveryRow
    from data_platform.landing.recovery import Recovered
    from data_platform.warehouse.recovery import FeedInLake, InTable

NOT_KEPT = (
    "Only the ledger had these, and they are lost with it: earlier outcomes of a delivery, versions of a publication"
    " before the present one, the names of renamed and removed feeds, how often geocoding services were asked today"
    " (their caps begin anew), and their answers for addresses that have left their table. Extracts and receipts that"
    " retention has deleted are not counted any more."
)


class PlatformAtWork(click.ClickException):
    """Runs, or a daemon that launches them, would load beside the rebuild."""


@dataclass
class _Feed:
    """One feed: what the lake, the receipts and the table say, and what the ledger lacks of it."""

    feed: FeedSpec
    lake: FeedInLake
    table: InTable
    recovered: Recovered
    loads: int
    deliveries: int

    @property
    def expected(self) -> int | None:
        """How many rows the table is to have; None if the load mode lets rows take each other's place."""
        if self.feed.load_mode in ("merge", "history"):
            return None
        return sum(each.rows_loaded for each in self.recovered.loads if each.removed_at is None)

    @property
    def unknown(self) -> bool:
        """Whether the table has rows, and the lake and the receipts say nothing of any."""
        return bool(self.table.rows) and all(each.removed_at is not None for each in self.recovered.loads)

    @property
    def to_reload(self) -> bool:
        """Whether the table lacks rows that the lake has."""
        in_use = [each for each in self.recovered.loads if each.removed_at is None and each.rows_loaded]
        return bool(in_use) and (not self.table.rows or self.expected not in (None, self.table.rows))


def rebuild_ledger(*, plan: bool, yes: bool) -> None:
    """Shows the plan, asks, writes, and says what is left to do. Raises PlatformAtWork, and what `require_current`
    raises if the schema is of another release."""
    import_connector()
    from data_platform.landing.ledger import MIGRATIONS
    from data_platform.resources import LakeResource
    from data_platform.warehouse.connection import connect
    from data_platform.warehouse.migrations import missing, require_current
    from data_platform.warehouse.platform import ensure_platform
    from data_platform.warehouse.recovery import feeds_in

    wanted = settings().require_endpoints().adopt()
    database = wanted.snowflake.database
    lake, bucket = LakeResource(bucket_name=wanted.lake_bucket).lake(), landing_bucket(wanted)
    with ExitStack() as stack:
        if not plan:
            stack.enter_context(_at_rest(wanted))
        connection = stack.enter_context(connect(wanted, query_tag="data-platform ledger rebuild"))
        make_schema = partial(
            ensure_platform,
            connection,
            database,
            wanted.lake_bucket,
            migrations=MIGRATIONS,
            storage_integration=wanted.snowflake.storage_integration,
        )
        due = missing(connection, database, MIGRATIONS)
        lost = len(due) == len(MIGRATIONS)
        if due and not lost:
            if plan:
                require_current(connection, database, MIGRATIONS)
            if not yes:
                click.confirm(f"{database}.PLATFORM lacks {len(due)} migrations. Run them first?", abort=True)
            make_schema()
        found = _look(connection, database, declared(), lake, bucket, lost=lost)
        lacking = [each for each in found if each.loads or each.deliveries]
        undeclared = sorted(feeds_in(lake) - {each.feed.name for each in found})
        _show(found, lacking, undeclared, lost=lost, database=database)
        if plan:
            return
        if not yes:
            click.confirm("Write this into the ledger?", abort=True)
        if lost:
            make_schema()
        _write(connection, database, lacking)
        _write_answers(connection, database, found, lake)
        _write_publications(connection, wanted, lake)
    _say_what_is_left(found)


@contextmanager
def _at_rest(wanted: Settings) -> Iterator[None]:
    """Within the block, no run of this machine's begins. Raises PlatformAtWork if a daemon or a run is at work."""
    import dagster as dg

    from data_platform.cli.run.daemon import UNDER_WAY, daemon_at_work
    from data_platform.cli.run.turn import one_at_a_time
    from data_platform.runs.abandoned import all_runs_are_here, report_abandoned
    from data_platform.runs.run_lock import folder_in

    with dg.DagsterInstance.get() as instance, one_at_a_time(wanted.state_dir, _tell):
        report_abandoned(instance, folder_in(wanted.state_dir), all_here=all_runs_are_here(wanted))
        if daemon_at_work(instance, wanted):
            raise PlatformAtWork(
                "A Dagster daemon is at work, and its runs would load beside this command. End it (here: Ctrl-C in"
                " `data-platform dev`; in a deployment: set the daemon service's desired count to 0, and wait two"
                " minutes), and run the"
                " command again. --plan may run at any time."
            )
        if running := instance.get_runs(dg.RunsFilter(statuses=UNDER_WAY), limit=3):
            named = ", ".join(run.run_id[:8] for run in running)
            raise PlatformAtWork(
                f"Runs are under way: {named}. Wait until they end, or end them in Dagster's UI, and run the command"
                " again. --plan may run at any time."
            )
        yield


def _look(
    connection: SnowflakeConnection,
    database: str,
    feeds: Sequence[FeedSpec],
    lake: Lake,
    bucket: LandingBucket,
    *,
    lost: bool,
) -> list[_Feed]:
    from data_platform.landing.recovery import Recovered, missing_deliveries, read_receipts, recovered
    from data_platform.warehouse.recovery import FeedInLake, InTable, loads_of_table, missing_loads, rejects_of

    receipts: dict[str, list[DeliveryRow]] = {}
    pending = {each.key for page in bucket.pages() for each in page}
    done = []
    with _progress() as progress, connection.cursor() as cursor:
        for feed in progress.track(feeds, description="feeds looked at"):
            there = InTable.read(connection, database, feed.source, feed.table)
            extracts = FeedInLake.read(lake, feed.source, feed.table)
            if isinstance(feed, FileFeedSpec):
                if feed.source not in receipts:
                    receipts[feed.source] = read_receipts(lake.store, bucket, feed.source)
                mine = [row for row in receipts[feed.source] if row.feed == feed.table]
                what = recovered(feed, mine, extracts, there, pending)
            else:
                loads = loads_of_table(feed, extracts, there)
                what = Recovered((), loads, rejects_of(feed, extracts, loads), 0)
            if lost:
                done.append(_Feed(feed, extracts, there, what, len(what.loads), len(what.deliveries)))
                continue
            lacking = missing_loads(cursor, database, feed, what.loads)
            outcomes = (
                missing_deliveries(cursor, database, feed, what.deliveries) if isinstance(feed, FileFeedSpec) else ()
            )
            done.append(_Feed(feed, extracts, there, what, len(lacking.new) + len(lacking.removed), len(outcomes)))
    return done


def _show(
    found: Sequence[_Feed], due: Sequence[_Feed], undeclared: Sequence[str], *, lost: bool, database: str
) -> None:
    if lost:
        click.echo(f"{database}.PLATFORM is gone: it is created, with all its tables.")
    made = table(
        *("feed", "extracts", "not loaded", "loads to record", "deliveries", "without receipt", "rows in table"),
        right=("extracts", "not loaded", "loads to record", "deliveries", "without receipt", "rows in table"),
    )
    for each in found:
        rows = "gone" if each.table.rows is None else count(each.table.rows)
        numbers = (len(each.lake.manifests), len(each.lake.unloaded), each.loads, each.deliveries)
        add_row(made, each.feed.name, *map(count, numbers), count(each.recovered.decided), rows)
    show(made)
    if not due:
        click.echo("\nThe ledger has all that the lake and the receipts tell of.")
    if undeclared:
        names = ", ".join(undeclared)
        console().print(f"\nLeft out, as no defs.yaml declares the feed: the extracts of {names}", soft_wrap=True)
    console().print(f"\n{NOT_KEPT}", soft_wrap=True)


def _write(connection: SnowflakeConnection, database: str, due: Sequence[_Feed]) -> None:
    from data_platform.landing.ledger import write_deliveries
    from data_platform.landing.recovery import missing_deliveries
    from data_platform.warehouse.recovery import record_missing

    run_id = f"ledger-rebuild-{uuid4()}"
    with _progress() as progress:
        for one in progress.track(due, description="feeds recorded"):
            feed, rows = one.feed, one.recovered.deliveries

            def outcomes(cursor: Any, feed: FeedSpec = feed, rows: Sequence[DeliveryRow] = rows) -> None:
                if isinstance(feed, FileFeedSpec):
                    write_deliveries(cursor, database, missing_deliveries(cursor, database, feed, rows))

            record_missing(
                connection, database, feed, one.recovered.loads, one.recovered.rejects, run_id=run_id, also=outcomes
            )


def _write_answers(connection: SnowflakeConnection, database: str, found: Sequence[_Feed], lake: Lake) -> None:
    from data_platform.geocode.recovery import keep_again

    for each in found:
        if isinstance(each.feed, GeocodedSpec):
            with connection.cursor() as cursor:
                kept = keep_again(cursor, database, each.feed, lake, each.lake.manifests)
            if kept:
                click.echo(f"{each.feed.name}: kept {count(kept)} answers of {each.feed.answers_of} again")


def _write_publications(connection: SnowflakeConnection, wanted: Settings, lake: Lake) -> None:
    """Records what each target shows. One that doesn't answer is named, and asked again by the next call."""
    from data_platform.automation.publications import open_target
    from data_platform.automation.registry import published_here
    from data_platform.publish.ledger import latest, record

    with connection.cursor() as cursor:
        known = latest(cursor, wanted.snowflake.database)
        for dataset in published_here(DEFS, wanted.environment):
            if dataset.id in known:
                continue
            try:
                with open_target(dataset, lake, lambda line: None) as target:
                    there, url = target.current(), target.url
            except Exception as error:
                click.echo(f"publication/{dataset.id} couldn't be asked what it shows: {error}", err=True)
                continue
            if there is not None and there.stamp is not None:
                outcome = "published" if there.stamp.withdrawn is None else "rolled back"
                record(cursor, wanted.snowflake.database, dataset.id, there.stamp, url, None, outcome)  # type: ignore[arg-type]
                click.echo(f"publication/{dataset.id}: recorded version {there.stamp.version}")


def _say_what_is_left(found: Sequence[_Feed]) -> None:
    by_kind: dict[bool, list[str]] = defaultdict(list)
    for each in found:
        if each.to_reload:
            in_use = {load.extract_id for load in each.recovered.loads if load.removed_at is None}
            by_kind[in_use <= {manifest.extract_id for manifest in each.lake.manifests}].append(each.feed.name)
    console().print("\nThe ledger is rebuilt.")
    if names := by_kind[True]:
        selection = " or ".join(f"raw/{name}" for name in names)
        console().print(f"Load the rows of {len(names)} tables again, from the lake:", soft_wrap=True)
        console().print(as_typed(f"  `data-platform run --reload --select '{selection}'`"), soft_wrap=True)
    for name in [*by_kind[False], *(each.feed.name for each in found if each.unknown)]:
        console().print(as_typed(f"The lake lacks extracts of {name}: `data-platform feed re-extract {name}`"))
    console().print(as_typed("Then `data-platform run --no-demo --full` loads what is new and accounts for every row."))


def _progress() -> Progress:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:<16}"), BarColumn(30), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console(stderr=True))


_tell: Callable[[str], None] = click.echo
