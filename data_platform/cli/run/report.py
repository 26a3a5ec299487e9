"""The report at the end of a run: the accounts of files and rows, what waits, what failed, and where to look next."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import click

from data_platform.cli.errors import DataProblem
from data_platform.cli.output import colored, console, count, duration, show
from data_platform.cli.run.accounting import (
    Account,
    accounts_table,
    left_table,
    publications_table,
    read_accounts,
    read_rows,
    read_table_accounts,
    rows_table,
    table_accounts_table,
)
from data_platform.cli.run.outcome import RunOutcome
from data_platform.environment import Settings
from data_platform.feeds.spec import FeedSpec
from data_platform.lake.shown import visible
from data_platform.landing.sorting import Scan
from data_platform.program import as_typed

if TYPE_CHECKING:
    from data_platform.local_cloud.demo.day import Demo
    from data_platform.publish.ledger import Record

_WARNINGS_SHOWN = 8
_WIDTH = 150


@dataclass(frozen=True)
class Report:
    """The result of a `data-platform run`. `accounts` are of file feeds, `tables` of databases and web APIs.
    `compared`: differences from the demo's answer key, by feed and place; `beside`: deliveries that are not the demo's,
    by feed; `earlier`: the run of `daily` that still counts, where nothing is new; `invalid`: why definitions were left
    out; `published`: each dataset's latest record."""

    settings: Settings
    runs: list[RunOutcome]
    left: Scan
    accounts: Sequence[Account]
    tables: Sequence[Account]
    headline: tuple[str, list[str], list[tuple[Any, ...]]] | None
    compared: Mapping[str, list[str]] | None
    beside: Mapping[str, int]
    seconds: float
    earlier: RunOutcome | None = None
    invalid: Sequence[str] = ()
    published: Mapping[str, Record] = field(default_factory=dict)

    @classmethod
    def read(
        cls,
        settings: Settings,
        runs: list[RunOutcome],
        left: Scan,
        *,
        began: float,
        files: Sequence[FeedSpec],
        tables: Sequence[FeedSpec],
        demo: Demo | None = None,
        feeds: set[str] | None = None,
        earlier: RunOutcome | None = None,
    ) -> Report:
        """Reads the ledger and the marts. `files`: every file feed. `tables`: every table of a database or web API.
        `feeds`: only these feeds' accounts, and no marts. `began`: as `time.monotonic` gave it."""
        from data_platform.automation.registry import published_here
        from data_platform.cli.project import DEFS
        from data_platform.publish import ledger as publications
        from data_platform.warehouse import ledger, table_rows
        from data_platform.warehouse.connection import connect

        database = settings.snowflake.database
        compared = None
        headline = None
        beside: Mapping[str, int] = {}
        if feeds is not None:
            left = _of_partners(left, {feed.split("/")[0] for feed in feeds})
        with connect(settings) as connection:
            whole = {feed.name for feed in files if feed.load_mode not in ("merge", "history")}
            with connection.cursor() as cursor:
                loads, rows = ledger.accounting(cursor, database), table_rows.expected(cursor, database)
            declared = {feed.name for feed in files}  # the ledger also has feeds that were removed
            shown = declared if feeds is None else feeds
            accounts = read_accounts(connection, database, shown, loads, rows, whole=whole)
            wanted = [table for table in tables if feeds is None or table.name in feeds]
            of_tables = read_table_accounts(connection, database, wanted, loads, rows)
            made = [*runs, earlier] if earlier else runs
            if demo is not None and any(_asset_of(demo.headline) in run.materialized for run in made):
                sql = f"SELECT * FROM {database}.{demo.headline} ORDER BY 1"
                headline = (demo.headline, *read_rows(connection, sql))
            here = {each.id for each in published_here(DEFS, settings.environment)} if feeds is None else set()
            with connection.cursor() as cursor:
                latest = publications.latest(cursor, database) if here else {}
            published = {name: record for name, record in latest.items() if name in here}
        if demo is not None:
            compared = demo.differences([*accounts, *of_tables], left)
            beside = demo.beside([*accounts, *of_tables])
            shown_rows = [] if headline is None else [dict(zip(headline[1], row, strict=True)) for row in headline[2]]
            if not beside and (differences := demo.mart_differences(shown_rows)):
                compared[demo.headline] = differences
            if not beside:
                rows_published = {name: record.rows_published for name, record in published.items()}
                compared |= demo.publication_differences(rows_published)
        seconds = time.monotonic() - began
        return cls(
            settings, runs, left, accounts, of_tables, headline, compared, beside, seconds, earlier, published=published
        )

    @property
    def _checked(self) -> list[RunOutcome]:
        return [*self.runs, self.earlier] if self.earlier else self.runs

    @property
    def problems(self) -> list[str]:
        """The problems of the data, a line each."""
        found = [f"A definition is invalid and was left out: {' '.join(message.split())}" for message in self.invalid]
        found += [problem for account in (*self.accounts, *self.tables) for problem in account.problems]
        found += [f"{name}: {text}" for run in self._checked for name, text in run.errors.items()]
        if self.compared is not None:  # the demo's warnings are planted: the key has their counts
            return found + [f"{place}: {text}" for place, texts in self.compared.items() for text in texts]
        return found + [f"{name}: {text}" for run in self._checked for name, text in run.warnings.items()]

    def show(self) -> None:
        """Prints it."""
        out = console()
        if self.accounts:
            show(accounts_table(self.accounts, self.compared, self.beside))
        if self.accounts and self.tables:
            out.print()
        if self.tables:
            show(table_accounts_table(self.tables, self.compared, self.beside))
        if self.published:
            out.print()
            show(publications_table(self.published, self.settings.zone, self.compared))
        if self.left.unmatched or self.left.waiting:
            out.print()
            show(left_table(self.left))
        self._checks()
        if self.headline is not None:
            table, columns, rows = self.headline
            out.print(f"\n{table}", style="bold")
            show(rows_table(columns, rows))
        if self.compared is not None and not self.problems and not self.beside:
            out.print("\nAll results match the answer key.", style="green")
        out.print(f"\n{self._summary}, in {duration(self.seconds)}", soft_wrap=True)
        if said := self._not_in_tables:
            out.print(said, soft_wrap=True)
        self._next()

    @property
    def _summary(self) -> str:
        if self.earlier is not None:
            unchanged = (
                "Nothing new: no file, model, contract, code or setting has changed since run"
                f" {self.earlier.run_id[:8]} of `daily`"
            )
            if not self.tables:
                return f"{unchanged}, and no check is due (--full builds in any case)"
            return (
                f"{unchanged}, no check is due, and the databases and web APIs were read today (tomorrow they are read"
                " again; --full reads and builds now)"
            )
        if not self.runs:
            return "Nothing to do: no file of the selected feeds and days is pending"
        ok = sum(run.success for run in self.runs)
        rows = sum(run.rows for run in self.runs)
        return f"{ok} of {len(self.runs)} runs succeeded, {count(rows)} rows loaded"

    @property
    def _not_in_tables(self) -> str:
        """Why the tables hold fewer rows than were loaded; "" if they don't."""
        accounts = (*self.accounts, *self.tables)
        replaced, merged = sum(each.rows_replaced for each in accounts), sum(each.rows_merged for each in accounts)
        why = [f"newer files and reads have replaced {count(replaced)} loaded rows"] if replaced else []
        why += [f"{count(merged)} were merged into rows with the same key"] if merged else []
        held = count(sum(each.in_table for each in accounts))
        return f"The tables hold {held} rows: {', and '.join(why)}" if why else ""

    def raise_problems(self) -> None:
        """Raises ClickException (1) if a run failed, DataProblem (3) if the data has a problem."""
        failures: dict[str, list[str]] = {}
        for run in self.runs:
            for text in run.failures:
                failures.setdefault(text, []).append(run.run_id[:8])
        if any(not run.success for run in self.runs) and not (
            self.problems and all(run.success or run.errors for run in self.runs)
        ):
            log = self.settings.state_dir / "logs" / "run.log"
            told = [f"{visible(text)} (run {', '.join(runs)})" for text, runs in failures.items()]
            raise click.ClickException("\n".join([*told, f"The whole log: {log}"]))
        if self.problems:
            raise DataProblem("\n".join(["Data check failed:", *map(visible, self.problems)]))

    def _checks(self) -> None:
        made = {name for run in self._checked for name in run.checks}
        warnings = {name: text for run in self._checked for name, text in run.warnings.items()}
        errors = {name: text for run in self._checked for name, text in run.errors.items()}
        if not made:
            return
        out = console()
        passed = made - warnings.keys() - errors.keys()
        out.print(f"\n{len(passed)} of {len(made)} checks passed", end=", " if warnings else "\n")
        if warnings:
            out.print(colored("warnings", "yellow"), end=":\n")
        for name, text in list(warnings.items())[:_WARNINGS_SHOWN]:
            out.print(f"  {name}  {_short(text)}", no_wrap=True, overflow="ellipsis")
        if len(warnings) > _WARNINGS_SHOWN:
            out.print(f"  and {len(warnings) - _WARNINGS_SHOWN} more, in the UI")
        for name, text in errors.items():
            out.print(f"  failed: {name}  {_short(text)}", style="red")

    def _next(self) -> None:
        out = console()
        out.print("\nWhere to look next:")
        lines = {
            "data-platform dev": "Dagster's UI: runs, lineage, checks, every number here",
            "data-platform deliveries list": "each file and its outcome; `deliveries show ID` prints its rejects",
            "data-platform dbt show -s MODEL": "a model's rows; `dbt docs` explains its columns",
        }
        if self.settings.environment == "local" and self.accounts:
            sftp = self.settings.sftp
            partner = self.accounts[0].feed.partition("/")[0]
            key = self.settings.state_dir / "keys" / "partners" / partner
            lines["a partner's receipts, by SFTP"] = f"sftp -P {sftp.port} -i {key} {partner}@{sftp.host}"
        shown = {as_typed(command): what for command, what in lines.items()}
        width = max(map(len, shown))
        for command, what in shown.items():
            out.print(f"  {command:<{width}}  {what}", soft_wrap=True)


def _asset_of(table: str) -> str:
    return table.lower().replace(".", "/")


def _of_partners(left: Scan, partners: set[str]) -> Scan:
    return replace(
        left,
        ready=[ready for ready in left.ready if ready.pending.partner in partners],
        waiting=[waiting for waiting in left.waiting if waiting.pending.partner in partners],
        unmatched=[(pending, reason) for pending, reason in left.unmatched if pending.partner in partners],
    )


def _short(text: str) -> str:
    line = visible(" ".join(text.split()))
    return line if len(line) <= _WIDTH else line[:_WIDTH] + "…"
