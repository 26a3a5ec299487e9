"""`data-platform feed re-extract`: its questions, progress and report. The work is in `landing.again` and
`warehouse.rebuild`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from typing import TYPE_CHECKING
from uuid import uuid4
from zoneinfo import ZoneInfo

import click

from data_platform.cli.errors import DataProblem
from data_platform.cli.output import console, count, show, table
from data_platform.cli.project import landing_bucket
from data_platform.environment import Settings, settings
from data_platform.extract.extract import Extraction
from data_platform.extract.workers import READS_AT_ONCE
from data_platform.feeds.files import FileFeedSpec
from data_platform.feeds.tables import TableSpec
from data_platform.landing.again import ArchivedDeliveries, ReadAgain, copy_to_quarantine, rows_to_read
from data_platform.landing.ledger import MIGRATIONS
from data_platform.landing.settle import write_receipts
from data_platform.landing.source import SETTLES_AT_ONCE
from data_platform.warehouse.connection import connect
from data_platform.warehouse.further_columns import with_drift
from data_platform.warehouse.ledger import extracts_in_table
from data_platform.warehouse.migrations import require_current
from data_platform.warehouse.policy import InPlaceOfAll, Policy
from data_platform.warehouse.rebuild import AGAIN, Rebuilt, rebuild_table
from data_platform.warehouse.schema import plan_changes, read_columns
from data_platform.warehouse.table import raw_table

if TYPE_CHECKING:
    from rich.progress import Progress

    from data_platform.extract.source import Slice, Source
    from data_platform.feeds.spec import FeedSpec
    from data_platform.lake.extracts import Lake
    from data_platform.lake.manifest import Manifest
    from data_platform.landing.outcomes import DeliveryRow

_NAMED = 10


@dataclass
class _Again:
    """One re-extraction. `rows`: the deliveries that are read again, of a partner's feed. `quarantine`: what to do with
    files that today's contract refuses; else nothing changes."""

    feed: FeedSpec
    wanted: Settings
    lake: Lake
    progress: Progress
    rows: Sequence[DeliveryRow] = ()
    quarantine: bool = False
    run_id: str = field(default_factory=lambda: f"{AGAIN}{uuid4()}")

    @property
    def tag(self) -> str:
        return f"data-platform feed re-extract {self.feed.name}"

    def run(self) -> tuple[Rebuilt, Sequence[DeliveryRow]]:
        """What changed: the table, and the deliveries' outcomes."""
        if isinstance(self.feed, FileFeedSpec):
            return self._files(self.feed)
        assert isinstance(self.feed, TableSpec)  # noqa: S101 - `read_again` refuses others
        return self._table(self.feed), ()

    def _files(self, feed: FileFeedSpec) -> tuple[Rebuilt, Sequence[DeliveryRow]]:
        database, bucket = self.wanted.snowflake.database, landing_bucket(self.wanted)
        source = ArchivedDeliveries(
            feed, self.rows, bucket=bucket, lake=self.lake, database=database, run_id=self.run_id, progress=self._tell
        )
        manifests = self._extract(source, "files read")
        refused = {str(each.origin["delivery_id"]): each for each in manifests if each.refused is not None}
        if refused and not self.quarantine:
            raise DataProblem(
                "\n".join(_named([f"{each.origin['file_name']}: {each.refused}" for each in refused.values()]))
                + f"\n{len(refused)} of {len(manifests)} files can't be accepted under today's contract. Nothing has"
                " changed. Correct the contract or its reject_limit, and run the command again; or give --quarantine:"
                " they go to quarantine, and their rows leave the table"
            )
        extracts = {str(each.origin["delivery_id"]): each for each in manifests}
        policy = ReadAgain(database, feed, extracts, lake=self.lake, run_id=self.run_id)
        copied = copy_to_quarantine(bucket, [row for row in self.rows if row.delivery_id in refused])
        rebuilt = self._rebuild(policy)
        with connect(self.wanted, query_tag=self.tag) as connection, connection.cursor() as cursor:
            now = [row for row in rows_to_read(cursor, database, feed) if row.delivery_id in extracts]
        now += [row for row in policy.written if row.status == "quarantined"]
        with ThreadPoolExecutor(SETTLES_AT_ONCE, thread_name_prefix="receipt") as pool:
            zone = feed.time_zone
            done = [pool.submit(write_receipts, row, bucket, self.lake, zone, extracts[row.delivery_id]) for row in now]
        for each in done:
            each.result()
        bucket.delete(*copied)
        return rebuilt, policy.written

    def _table(self, feed: TableSpec) -> Rebuilt:
        from data_platform.automation.table_sources import table_sources

        (source,) = table_sources([feed], self.wanted, self._tell)
        manifests = self._extract(source, "reads")
        rebuilt = self._rebuild(InPlaceOfAll(manifests))
        waiting = {each.key: None for each in (*self.lake.unloaded(feed.source, feed.table), *manifests)}
        self.lake.mark_loaded(waiting)  # an extract from before this reading is of no use any more
        return rebuilt

    def _extract(self, source: Source, what: str) -> list[Manifest]:
        slices = list(source.plan(since=None, partition=None, unfinished=()))
        task = self.progress.add_task(what, total=len(slices))
        extraction = Extraction(self.lake, source, run_id=self.run_id, progress=self._tell)

        def one(slice_: Slice) -> Manifest:
            manifest = extraction.extract(slice_)
            self.progress.advance(task)
            return manifest

        with ThreadPoolExecutor(READS_AT_ONCE, thread_name_prefix="read") as pool:
            return list(pool.map(one, slices))

    def _rebuild(self, policy: Policy) -> Rebuilt:
        task = self.progress.add_task("extracts loaded", total=None)
        return rebuild_table(
            partial(connect, self.wanted, query_tag=self.tag),
            self.wanted.snowflake.database,
            self.feed,
            policy,
            run_id=self.run_id,
            query_tag=self.tag,
            progress=lambda done, total: self.progress.update(task, completed=done, total=total),
        )

    def _tell(self, line: str) -> None:
        self.progress.console.print(f"  {line}", markup=False)


def read_again(feed: FeedSpec, first: date | None, last: date | None, *, yes: bool, quarantine: bool = False) -> None:
    """Asks, works, and prints what changed. Raises click.UsageError and DataProblem."""
    from data_platform.resources import LakeResource

    if not isinstance(feed, FileFeedSpec | TableSpec):
        raise click.UsageError(f"{feed.name} is neither a partner's files nor a table that the platform reads")
    if isinstance(feed, TableSpec) and (first or last):
        raise click.UsageError(
            f"{feed.name} is a table of {feed.part_of}, which is read from the beginning: no --from, --to"
        )
    if isinstance(feed, TableSpec) and quarantine:
        raise click.UsageError(f"{feed.name} is a table of {feed.part_of}, which has no files: no --quarantine")
    wanted = settings().require_endpoints().adopt()
    if isinstance(feed, TableSpec) and feed.load_mode == "history":
        _refuse_to_forget(wanted, feed)
    rows = _rows(wanted, feed, first, last) if isinstance(feed, FileFeedSpec) else ()
    _explain(wanted, feed, rows)
    if quarantine:
        click.echo("  files that today's contract refuses go to quarantine, and their rows leave the table")
    if not yes:
        click.confirm("Go on?", abort=True)
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:<16}"), BarColumn(30), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console(stderr=True)) as progress:
        lake = LakeResource(bucket_name=wanted.lake_bucket).lake()
        rebuilt, written = _Again(feed, wanted, lake, progress, rows, quarantine).run()
    _report(feed, rebuilt, rows, written)
    _tell_dagster(wanted, feed, {row.partition for row in rows})


def _refuse_to_forget(wanted: Settings, feed: TableSpec) -> None:
    """Raises DataProblem if the table has versions: its source has only its rows of today to read again."""
    with connect(wanted) as connection, connection.cursor() as cursor:
        there = extracts_in_table(cursor, wanted.snowflake.database, feed).values()
    if any(found.load_mode == "history" for found in there):
        raise DataProblem(
            f"{feed.name} has load_mode history, and {feed.part_of} has only its rows of today: its history would be"
            " lost. Give a column whose type has changed a new name, with its name there as source_name and without"
            f" renamed_from. `data-platform run --reload --select raw/{feed.name}` makes the versions anew from the"
            " snapshots in the lake"
        )


def _rows(wanted: Settings, feed: FileFeedSpec, first: date | None, last: date | None) -> list[DeliveryRow]:
    """The deliveries of these days. Raises DatabaseOlder before anything was loaded."""
    zone = ZoneInfo(feed.time_zone)

    def day(row: DeliveryRow) -> date:
        return date.fromisoformat(row.partition) if row.partition else row.landed_at.astimezone(zone).date()

    with connect(wanted) as connection:
        require_current(connection, wanted.snowflake.database, MIGRATIONS)
        with connection.cursor() as cursor:
            rows = rows_to_read(cursor, wanted.snowflake.database, feed)
    return [row for row in rows if (first or date.min) <= day(row) <= (last or date.max)]


def _explain(wanted: Settings, feed: FeedSpec, rows: Sequence[DeliveryRow]) -> None:
    target = raw_table(wanted.snowflake.database, feed.source, feed.table)
    with connect(wanted) as connection:
        there = read_columns(connection, target)
        columns = feed.with_contract(with_drift(feed.contract, there)).table_columns
        plan = plan_changes(target, there, columns)
    what = f"the whole table of {feed.part_of}" if isinstance(feed, TableSpec) else f"{count(len(rows))} archived files"
    click.echo(f"{feed.name}: reads {what} again under today's contract, and rebuilds {target}.")
    for line in (
        *(each.lstrip("- ").partition(": Snowflake")[0].partition(". `")[0] for each in plan.refusals),
        *(change.reason for change in plan.changes),
    ):
        click.echo(f"  {line}")
    if plan.removed:
        names = ", ".join(name.upper() for name in plan.removed)
        click.echo(
            f"  {names} is no longer in the contract: the new table has it only if an extract that isn't read again has"
        )


def _report(feed: FeedSpec, rebuilt: Rebuilt, rows: Sequence[DeliveryRow], written: Sequence[DeliveryRow]) -> None:
    made = table(feed.name, "before", "after", right=("before", "after"))
    made.add_row("rows in the table", count(rebuilt.rows_before), count(rebuilt.rows_after))
    if rows:
        now = {row.delivery_id: row for row in written}
        after = [now.get(row.delivery_id, row) for row in rows]
        for label, number in _SUMS.items():
            made.add_row(label, count(number(rows)), count(number(after)))
    show(made)
    before = {row.delivery_id: row for row in rows}
    changed = [(before[row.delivery_id], row) for row in written if row.delivery_id in before]
    refused = [(old, new) for old, new in changed if new.status == "quarantined"]
    for line in _named(
        [f"{new.file_name}: quarantined, {old.rows_loaded} rows are gone: {new.reason}" for old, new in refused]
    ):
        click.echo(f"  {line}")
    differ = [
        (old, new) for old, new in changed if new.status != "quarantined" and old.rows_rejected != new.rows_rejected
    ]
    for line in _named(
        [f"{new.file_name}: {old.rows_rejected} rejects before, {new.rows_rejected} now" for old, new in differ]
    ):
        click.echo(f"  {line}")


def _named(lines: Sequence[str]) -> list[str]:
    """The first lines, and how many there are beside."""
    return [*lines[:_NAMED], *([f"and {len(lines) - _NAMED} more"] if len(lines) > _NAMED else [])]


_Sum = Callable[[Iterable["DeliveryRow"]], int]
_SUMS: dict[str, _Sum] = {
    "rows read": lambda rows: sum(row.rows_read for row in rows if row.status == "loaded"),
    "rows loaded": lambda rows: sum(row.rows_loaded for row in rows if row.status == "loaded"),
    "rejects": lambda rows: sum(row.rows_rejected for row in rows if row.status == "loaded"),
}


def _tell_dagster(wanted: Settings, feed: FeedSpec, partitions: set[str | None]) -> None:
    """Reports the table as materialized and checked, so that its models follow. A file feed's days each."""
    if wanted.dagster_home is None:
        click.echo(
            "DAGSTER_HOME isn't set: Dagster doesn't know of the new table. Materialize the models that read it."
        )
        return
    import dagster as dg

    from data_platform.automation.table_report import report_table

    with dg.DagsterInstance.get() as instance, connect(wanted) as connection:
        report_table(
            instance,
            feed,
            connection,
            wanted.snowflake.database,
            partitions=partitions,
            metadata={"re-extracted": True},
        )
