"""The steps of `data-platform run`, with their progress. Who executes runs is in `here` and `daemon`, how inbound is
emptied in `inbound`, and what is reported at the end in `report`."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import click
import dagster as dg

from data_platform.automation.feed_keys import lake_key, raw_key
from data_platform.automation.jobs import table_jobs
from data_platform.automation.publications import JOB
from data_platform.cli.project import DBT_PROJECT, bring_up, declared, ensure_ledger, landing_bucket, of_kind
from data_platform.cli.run import unchanged
from data_platform.cli.run.daemon import RunsByDaemon, daemon_at_work
from data_platform.cli.run.here import RunsHere
from data_platform.cli.run.inbound import drain, look, unsettled
from data_platform.cli.run.outcome import RunOutcome, outcome_of
from data_platform.cli.run.report import Report
from data_platform.cli.run.turn import one_at_a_time
from data_platform.environment import Settings
from data_platform.feeds.files import FileFeedSpec
from data_platform.feeds.tables import TableSpec
from data_platform.lake.shown import visible
from data_platform.landing.settle import report_unmatched
from data_platform.program import as_typed
from data_platform.runs.abandoned import all_runs_are_here, report_abandoned
from data_platform.runs.run_lock import folder_in
from data_platform.transform.ahead import started_ahead

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from data_platform.cli.run.location import CodeLocation
    from data_platform.cli.run.selection import Days
    from data_platform.landing.bucket import LandingBucket
    from data_platform.landing.sorting import Scan
    from data_platform.local_cloud.demo.day import Demo


class Steps:
    """One `data-platform run`, step by step."""

    def __init__(self, progress: Progress, began: float) -> None:
        self.progress = progress
        self.began = began

    def day(self, size: str | None, *, again: bool, full: bool) -> Report:
        """The platform's day. `size`: the demo's, whose files are dropped first; None without the demo."""
        with self._ready(alone=size is not None) as (wanted, instance):
            bucket = landing_bucket(wanted)
            demo = self._demo(wanted, size) if size is not None else None
            if not (full or again) and (report := self._nothing_new(wanted, instance, bucket, demo)):
                return report
            if demo is not None and again:
                demo.begin_again()
            location = self._load_while_dropping(wanted, instance, demo)
            with self._runs(location, wanted) as runs, self._dbt_ahead(runs, wanted):
                outcomes, failed = self._take_in(runs, location, bucket, demo)
                if not failed:
                    if daemon_at_work(instance, wanted) and not isinstance(runs, RunsByDaemon):
                        runs = RunsByDaemon(location, self._tell)  # it has come up since
                    outcomes += self._tables(runs, location)
                    outcomes.append(self._daily(runs, location, unchanged.inputs(instance, wanted)))
                    if location.datasets:
                        outcomes.append(self._publish(runs, location))
            left, demo = look(bucket, location.feeds), None if failed else demo
            _report_unmatched(bucket, left)
            report = Report.read(
                wanted, outcomes, left, files=location.feeds, tables=location.tables, demo=demo, began=self.began
            )
            return replace(report, invalid=location.invalid)

    def selected(self, select: str, partition: str | None, days: Days, *, reload: bool = False) -> Report:
        """Makes the selected assets: file feeds' first, a run a day, then the others. `reload`: loads the feeds'
        extracts again."""
        from data_platform.cli.run.reloading import reload_runs
        from data_platform.cli.run.selection import execute, requested_runs
        from data_platform.warehouse.connection import connect
        from data_platform.warehouse.ledger import extracts_in_table

        with self._ready(alone=False) as (wanted, instance):
            bucket = landing_bucket(wanted)
            location = self._location(wanted, instance)
            if reload:
                with connect(wanted) as connection, connection.cursor() as cursor:
                    there = partial(extracts_in_table, cursor, wanted.snowflake.database)
                    requests, feeds = reload_runs(location, select, days, lambda feed: there(feed).values())
            else:
                requests, feeds = requested_runs(location, bucket, select, partition, days)
            task = self.progress.add_task("runs", total=len(requests))
            outcomes: list[RunOutcome] = []
            with self._runs(location, wanted, start_daemon=False) as runs:
                try:
                    for outcome in execute(
                        requests, lambda each: runs.execute(each.assets, each.partition, each.landing, each.config)
                    ):
                        outcomes.append(outcome)
                        self.progress.advance(task)
                except dg.DagsterInvalidConfigError as error:
                    hint = "An asset that a sensor configures can't be selected: `and not group:operations`."
                    raise click.BadParameter(f"{error}\n{hint}", param_hint="--select") from None
            left = look(bucket, location.feeds)
            return Report.read(
                wanted, outcomes, left, files=location.feeds, tables=location.tables, feeds=feeds, began=self.began
            )

    @contextmanager
    def _ready(self, *, alone: bool) -> Iterator[tuple[Settings, dg.DagsterInstance]]:
        """The settings, with everything up, and Dagster's instance. Holds the lock of `turn` if no daemon is at work,
        or if `alone`."""
        with ExitStack() as stack:
            with self._step("local cloud"):
                wanted = bring_up(self._tell)
            instance = stack.enter_context(dg.DagsterInstance.get())
            if alone or not daemon_at_work(instance, wanted):
                stack.enter_context(one_at_a_time(wanted.state_dir, self._tell))
            report_abandoned(instance, folder_in(wanted.state_dir), all_here=all_runs_are_here(wanted))
            yield wanted, instance

    @contextmanager
    def _runs(
        self, location: CodeLocation, wanted: Settings, *, start_daemon: bool = True
    ) -> Iterator[RunsHere | RunsByDaemon]:
        """Who executes runs: the daemon that is at work, or else this process. With `start_daemon` one is started where
        the local cloud's runs are tasks, which only a daemon launches."""
        tasks = start_daemon and wanted.environment == "local" and wanted.runs_on == "ecs"
        if not tasks and not daemon_at_work(location.instance, wanted):
            yield RunsHere(location)
            return
        by_daemon = RunsByDaemon(location, self._tell)
        try:
            yield by_daemon
        finally:
            by_daemon.close()

    @contextmanager
    def _dbt_ahead(self, runs: RunsHere | RunsByDaemon, wanted: Settings) -> Iterator[None]:
        """Lets dbt start and parse while files are loaded, if this process is going to execute the build."""
        project = wanted.dbt_code.project_dir or DBT_PROJECT
        if isinstance(runs, RunsByDaemon) or not project.exists():
            yield
            return
        with started_ahead(wanted, project):
            yield

    def _nothing_new(
        self, wanted: Settings, instance: dg.DagsterInstance, bucket: LandingBucket, demo: Demo | None
    ) -> Report | None:
        """The report, if a `daily` run would make nothing new; None otherwise, and if that isn't certain."""
        if demo is not None and not demo.all_dropped():
            return None
        now = datetime.now(UTC)
        every = declared()
        feeds, tables = of_kind(every, FileFeedSpec), of_kind(every, TableSpec)
        record = unchanged.last_daily(instance, wanted, now, reading=table_jobs(tables))
        if record is None:
            return None
        left = look(bucket, feeds)
        if unsettled(left) or not unchanged.arrivals_are_as_at(record, now, wanted, feeds):
            return None
        _report_unmatched(bucket, left)
        run_id = record.dagster_run.run_id
        events = [entry.dagster_event for entry in instance.all_logs(run_id) if entry.dagster_event]
        daily = outcome_of(run_id, True, events)
        return Report.read(wanted, [], left, files=feeds, tables=tables, demo=demo, began=self.began, earlier=daily)

    def _location(self, wanted: Settings, instance: dg.DagsterInstance) -> CodeLocation:
        from data_platform.cli.run.location import CodeLocation

        with self._step("definitions"):
            location = CodeLocation(instance)
        ensure_ledger(wanted)
        return location

    def _demo(self, wanted: Settings, size: str) -> Demo:
        from data_platform.local_cloud.demo.day import Demo, DemoRefused

        try:
            demo = Demo(size, wanted)
            demo.check_alone()
        except DemoRefused as error:
            raise click.UsageError(str(error)) from None
        return demo

    def _drop(self, demo: Demo, wave: int) -> None:
        task = self._counter("files dropped")
        before = self._completed(task)
        numbers = demo.drop(wave)
        files = next(numbers, 0)
        self.progress.update(task, total=before + files)
        for left in numbers:
            self.progress.update(task, completed=before + files - left)

    def _load_while_dropping(self, wanted: Settings, instance: dg.DagsterInstance, demo: Demo | None) -> CodeLocation:
        """Loads the definitions while the demo's first wave is dropped. Raises what either raises."""
        if demo is None:
            return self._location(wanted, instance)
        with ThreadPoolExecutor(1, thread_name_prefix="drop") as pool:
            dropped = pool.submit(self._drop, demo, 0)
            location = self._location(wanted, instance)
            dropped.result()
        return location

    def _take_in(
        self,
        runs: RunsHere | RunsByDaemon,
        location: CodeLocation,
        bucket: LandingBucket,
        demo: Demo | None,
    ) -> tuple[list[RunOutcome], bool]:
        """Empties inbound, wave after wave of the demo's drops, the first of which has been made. Before the demo
        changes the databases' tables, they are read. Returns the runs, and whether one failed,
        after which it stops."""
        settled, rows = self._counter("files settled"), self._counter("rows loaded")

        def on_run(files: int, outcome: RunOutcome) -> None:
            self.progress.advance(settled, files)
            self.progress.advance(rows, outcome.rows)

        def on_wait(files: int) -> None:
            self.progress.update(settled, total=self._completed(settled) + files)

        outcomes: list[RunOutcome] = []
        for wave in range(len(demo.key.waves) if demo is not None else 1):
            if demo is not None and wave > 0:
                if demo.writes_register(wave):
                    written = table_jobs(location.tables).get("databases", ())
                    keys = [key for table in written for key in (lake_key(table), raw_key(table))]
                    outcomes.append(runs.execute(keys, None, landing_only=False))
                    on_run(0, outcomes[-1])
                    if not outcomes[-1].success:
                        return outcomes, True
                self._drop(demo, wave)
            drained = drain(runs, bucket, location.feeds, on_wait=on_wait, on_run=on_run, tell=self._tell)
            outcomes += drained.runs
            if drained.failed:
                return outcomes, True
        return outcomes, False

    def _tables(self, runs: RunsHere | RunsByDaemon, location: CodeLocation) -> list[RunOutcome]:
        """Reads the tables of other systems. If one can't be read, the models are built all the same, as by the
        schedules."""
        outcomes: list[RunOutcome] = []
        if not location.tables:
            return outcomes
        task, read = self.progress.add_task("tables read", total=len(location.tables)), 0

        def on_materialized(done: int) -> None:
            # A table and its extract are two assets; of a table without new rows, no extract is made.
            self.progress.update(task, completed=read + done // 2)

        for job in table_jobs(location.tables):
            outcomes.append(runs.build(job, {}, on_materialized))
            read += sum(asset.startswith("raw/") for asset in outcomes[-1].materialized)
            self.progress.update(task, completed=read)
            self.progress.advance(self._counter("rows loaded"), outcomes[-1].rows)
        return outcomes

    def _daily(self, runs: RunsHere | RunsByDaemon, location: CodeLocation, inputs: str) -> RunOutcome:
        task = self.progress.add_task("models built", total=len(location.select("kind:dbt")))
        tags = {} if location.invalid else {unchanged.INPUTS_TAG: inputs}  # the next run says it again
        outcome = runs.build(unchanged.DAILY, tags, lambda done: self.progress.update(task, completed=done))
        self.progress.update(task, completed=len(outcome.materialized))
        rows = self._counter("rows loaded")
        self.progress.update(rows, total=self._completed(rows))
        return outcome

    def _publish(self, runs: RunsHere | RunsByDaemon, location: CodeLocation) -> RunOutcome:
        """Publishes the datasets whose marts have passed their checks, also if another mart has failed."""
        task = self.progress.add_task("datasets published", total=len(location.datasets))
        outcome = runs.build(JOB, {}, lambda done: self.progress.update(task, completed=done))
        self.progress.update(task, completed=len(outcome.materialized))
        return outcome

    def _tell(self, line: str) -> None:
        self.progress.console.print(f"  {visible(as_typed(line))}", markup=False)

    def _counter(self, name: str) -> TaskID:
        """The progress bar of that name, which is added the first time."""
        known = next((task.id for task in self.progress.tasks if task.description == name), None)
        return self.progress.add_task(name, total=None) if known is None else known

    def _completed(self, task: TaskID) -> int:
        return next(int(each.completed) for each in self.progress.tasks if each.id == task)

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        task = self.progress.add_task(name, total=1)
        yield
        self.progress.advance(task)


def _report_unmatched(bucket: LandingBucket, left: Scan) -> None:
    """What the sensor `unmatched` does where a daemon is at work."""
    for pending, reason in left.unmatched:
        report_unmatched(bucket, pending, reason)
