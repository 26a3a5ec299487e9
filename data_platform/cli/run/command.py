"""`data-platform run`: takes in what has landed, builds what follows from it, and accounts for every file and row.

The steps are here; how a run is executed is in `location`, how inbound is emptied in `inbound`, what is said at the
end in `report`. They are imported when the command runs: Dagster takes a second.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from data_platform.cli.project import DEMO, bring_up, landing_bucket
from data_platform.environment import settings

if TYPE_CHECKING:
    from rich.progress import Progress

    from data_platform.cli.run.location import CodeLocation
    from data_platform.cli.run.outcome import RunOutcome
    from data_platform.cli.run.report import Report
    from data_platform.environment import Settings
    from data_platform.landing.bucket import LandingBucket
    from data_platform.local_cloud.demo.day import Demo


@click.command()
@click.option("--select", metavar="SELECTION", help="Only these assets, in Dagster's selection syntax.")
@click.option("--partition", metavar="DAY", help="With --select: of this day, YYYY-MM-DD.")
@click.option(
    "--demo/--no-demo", default=None, help="Whether the demo city's partners drop their files (default: in local)."
)
@click.option("--size", default="small", show_default=True, help="The demo's: small, large or a number of meters.")
@click.option("--again", is_flag=True, help="The demo's partners drop all their files once more.")
@click.pass_context
def run(
    ctx: click.Context, select: str | None, partition: str | None, demo: bool | None, size: str, again: bool
) -> None:
    """Take in what has landed and build what follows from it.

    Without --select this is the platform's day: what stands in inbound is loaded, then all dbt models are built and
    every check is made. In `local` the local cloud is started first, and the demo city's partners drop their files
    over SFTP; the counts at the end are compared with the demo's answer key. Running it again loads nothing twice.

    With --select, these assets are made, of whatever environment the settings name. File feeds take in what is
    pending for them (of --partition, or of all days); models are built from what the tables hold.

    Runs are Dagster's own and show in its UI. After `data-platform up --ecs` those of the day are tasks of the local
    ECS, launched by Dagster's daemon, which is started if none is at work; else they are executed here. One that
    builds models waits while another run does. Logs go to .local/logs/run.log, with -v to the terminal.

    Ctrl-C, SIGTERM and a lost terminal end what is under way; its run counts as failed or canceled.

    \b
    Examples:
      data-platform run
      data-platform run --size large
      data-platform run --again
      data-platform run --select 'raw/harbor_water/*' --partition 2026-03-08
      data-platform run --select '+key:"marts/city_daily" and kind:dbt'
    Exit codes: 1 a run failed; 3 the counts or the models are not as expected, or a check failed.
    """
    if partition and not select:
        raise click.UsageError("--partition goes with --select: it says of which day to make the selected assets")
    local = settings().environment == "local"
    if demo and (not local or select):
        raise click.UsageError("--demo is for `local` and for a run without --select")
    if demo and not DEMO.exists():
        raise click.UsageError(f"There is no demo here: {DEMO} doesn't exist")
    with_demo = local and not select and DEMO.exists() if demo is None else demo
    if again and not with_demo:
        raise click.UsageError("--again is the demo's: its files are dropped once more")
    from data_platform.cli.run.quiet import logs_to
    from data_platform.cli.signals import end_as_by_ctrl_c

    end_as_by_ctrl_c()
    verbose = bool(ctx.meta.get("verbose"))
    with logs_to(settings().state_dir / "logs" / "run.log", verbose=verbose) as screen:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (TextColumn("{task.description:<20}"), BarColumn(30), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=screen, disable=verbose) as progress:
            report = _Run(progress, time.monotonic()).go(select, partition, size if with_demo else None, again)
    report.show()
    report.raise_problems()


class _Run:
    """One `data-platform run`, step by step."""

    def __init__(self, progress: Progress, began: float) -> None:
        self.progress = progress
        self.began = began

    def go(self, select: str | None, partition: str | None, size: str | None, again: bool) -> Report:
        """All of it, up to what is to be said at the end."""
        with self._step("local cloud"):
            wanted = bring_up(self._tell)
        demo = self._demo(wanted, size) if size is not None else None
        with self._step("definitions"):
            location = self._location(wanted, select)
        try:
            bucket = landing_bucket(wanted)
            if wanted.environment == "local":
                _ensure_ledger(wanted)
            if select is not None:
                runs, feeds = self._selected(location, bucket, select, partition)
                return self._report(wanted, location, bucket, runs, feeds=feeds)
            runs = []
            for failed in self._take_in(location, bucket, demo, again, runs):
                return self._report(wanted, location, bucket, [*runs, *failed])
            runs.append(self._daily(location))
            return self._report(wanted, location, bucket, runs, demo=demo)
        finally:
            location.close()

    def _location(self, wanted: Settings, select: str | None) -> CodeLocation:
        """Where runs are executed: in this process, or, where the local cloud's are tasks, by the daemon."""
        from data_platform.cli.run.location import CodeLocation

        if wanted.environment != "local" or wanted.runs_on != "ecs" or select is not None:
            return CodeLocation(self._tell)
        from data_platform.cli.run.daemon import DaemonLocation

        return DaemonLocation(self._tell)

    def _demo(self, wanted: Settings, size: str) -> Demo:
        from data_platform.local_cloud.demo.day import Demo, DemoRefused, scale_of

        try:
            demo = Demo(scale_of(size), wanted)
            demo.check_alone()
        except DemoRefused as error:
            raise click.UsageError(str(error)) from None
        with self._step("demo files"):
            demo.make()
        return demo

    def _take_in(
        self,
        location: CodeLocation,
        bucket: LandingBucket,
        demo: Demo | None,
        again: bool,
        runs: list[RunOutcome],
    ) -> Iterator[list[RunOutcome]]:
        """Empties inbound, wave after wave of the demo's drops; yields the failed runs where there are any."""
        from data_platform.cli.run.inbound import drain

        if demo is not None and again:
            demo.begin_again()

        waves = demo.key.waves if demo is not None else [[]]
        dropped = self.progress.add_task("files dropped", total=0, visible=demo is not None)
        settled = self.progress.add_task("files settled", total=0)
        rows = self.progress.add_task("rows loaded", total=None)

        def on_run(files: int, outcome: RunOutcome) -> None:
            self.progress.advance(settled, files)
            self.progress.advance(rows, outcome.rows)

        def on_wait(files: int) -> None:
            self.progress.update(settled, total=self._completed(settled) + files)

        for wave in waves:
            if demo is not None and wave:
                self.progress.update(dropped, total=self._completed(dropped) + len(wave))
                sent = demo.drop(wave, again=again, on_progress=lambda _: self.progress.advance(dropped))
                self.progress.update(dropped, total=self._completed(dropped))
                self.progress.update(settled, total=self._completed(settled) + sent)
            drained = drain(location, bucket, on_wait=on_wait, on_run=on_run, tell=self._tell)
            if drained.failed:
                yield drained.runs
                return
            runs += drained.runs
        self.progress.update(rows, total=self._completed(rows))

    def _daily(self, location: CodeLocation) -> RunOutcome:
        models = len(location.select("kind:dbt"))
        task = self.progress.add_task("models built", total=models)
        outcome = location.build("daily", lambda done: self.progress.update(task, completed=done))
        self.progress.update(task, completed=len(outcome.materialized))
        return outcome

    def _selected(
        self, location: CodeLocation, bucket: LandingBucket, select: str, partition: str | None
    ) -> tuple[list[RunOutcome], set[str]]:
        """Makes the selected assets: file feeds' first, a run a day, then the others. Returns their feeds too."""
        from dagster import DagsterInvalidConfigError

        from data_platform.cli.run.selection import requested_runs

        requests, feeds = requested_runs(location, bucket, select, partition)
        task = self.progress.add_task("runs", total=len(requests))
        runs: list[RunOutcome] = []
        for wanted in requests:
            try:
                outcome = location.execute(
                    assets=wanted.assets, partition=wanted.partition, landing_only=wanted.landing
                )
            except DagsterInvalidConfigError as error:
                hint = "An asset that a sensor gives its configuration can't be selected: `and not group:operations`."
                raise click.BadParameter(f"{error}\n{hint}", param_hint="--select") from None
            runs.append(outcome)
            self.progress.advance(task)
            if not runs[-1].success:
                break
        return runs, feeds

    def _report(
        self,
        wanted: Settings,
        location: CodeLocation,
        bucket: LandingBucket,
        runs: Iterable[RunOutcome],
        *,
        demo: Demo | None = None,
        feeds: set[str] | None = None,
    ) -> Report:
        from data_platform.cli.run.inbound import look
        from data_platform.cli.run.report import Report

        return Report.read(
            wanted,
            list(runs),
            look(bucket, location),
            demo=demo,
            feeds=feeds,
            seconds=time.monotonic() - self.began,
        )

    def _tell(self, line: str) -> None:
        self.progress.console.print(f"  {line}", markup=False)

    def _completed(self, task: int) -> int:
        return next(int(each.completed) for each in self.progress.tasks if each.id == task)

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        task = self.progress.add_task(name, total=1)
        yield
        self.progress.advance(task)


def _ensure_ledger(wanted: Settings) -> None:
    """In the local cloud there is nobody else to make the platform's schema; elsewhere `schema apply` does."""
    from data_platform.warehouse.connection import connect
    from data_platform.warehouse.platform import ensure_platform

    with connect(wanted) as connection:
        ensure_platform(connection, wanted.snowflake.database, wanted.lake_bucket)
