"""The accounts of files and rows, feed by feed, from the ledger, and how they compare with an answer key."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from data_platform.cli.output import amount, count, table
from data_platform.landing.history import Accounting, accounting
from data_platform.warehouse.describe import count_rows
from data_platform.warehouse.table import raw_table

if TYPE_CHECKING:
    from rich.table import Table
    from snowflake.connector import SnowflakeConnection

    from data_platform.landing.inbox import Scan

COUNTS = ("landed", "loaded", "duplicate", "superseded", "quarantined", "rows_read", "rows_loaded", "rejects")


@dataclass(frozen=True)
class FeedAccount:
    """One feed: counts by the names in COUNTS, and the rows of its table."""

    feed: str
    counts: Mapping[str, int]
    in_table: int

    @property
    def problems(self) -> list[str]:
        """The counts that don't add up, which would be a defect of the platform."""
        counts = self.counts
        outcomes = sum(counts[name] for name in ("loaded", "duplicate", "superseded", "quarantined"))
        found = []
        if outcomes != counts["landed"]:
            found.append(f"{self.feed}: {counts['landed']} files landed, {outcomes} have an outcome")
        if counts["rows_loaded"] + counts["rejects"] != counts["rows_read"]:
            found.append(
                f"{self.feed}: {counts['rows_read']} rows read, {counts['rows_loaded']} loaded and"
                f" {counts['rejects']} rejected"
            )
        return found

    def differences(self, expected: Mapping[str, int], in_table: int | None) -> list[str]:
        """Its differences from the expected counts: `landed 176, expected 177`."""
        found = [
            f"{name.replace('_', ' ')} {self.counts[name]:,}, expected {expected[name]:,}"
            for name in COUNTS
            if self.counts[name] != expected[name]
        ]
        if in_table is not None and self.in_table != in_table:
            found.append(f"table has {self.in_table:,} rows, expected {in_table:,}")
        return found


def read_accounts(
    connection: SnowflakeConnection, database: str, feeds: Collection[str] | None = None
) -> list[FeedAccount]:
    """The accounts of these feeds (`<partner>/<feed>`; None: all that anything has landed for)."""
    return [
        FeedAccount(
            f"{row.partner}/{row.feed}",
            _counts(row),
            count_rows(connection, raw_table(database, row.partner, row.feed).sql) if row.loaded else 0,
        )
        for row in accounting(connection, database)
        if feeds is None or f"{row.partner}/{row.feed}" in feeds
    ]


def _counts(row: Accounting) -> dict[str, int]:
    values = row._asdict()
    return {name: int(values["rows_rejected" if name == "rejects" else name]) for name in COUNTS}


def accounts_table(
    accounts: Iterable[FeedAccount],
    compared: Mapping[str, Collection[str]] | None,
    beside: Mapping[str, int],
) -> Table:
    """The table that a run ends with. `compared`: each feed's differences from the answer key, where there is one;
    `beside`: how many deliveries came that the key knows nothing of."""
    columns = ["feed", "files landed", "= loaded", "+ duplicate", "+ superseded", "+ quarantined"]
    columns += ["rows read", "= loaded ", "+ rejects", "in table"]
    made = table(*columns, *(["answer key"] if compared is not None else []), right=columns[1:])
    for one in accounts:
        verdict = []
        if compared is not None:
            verdict = ["[red]differs[/]" if compared.get(one.feed) else "[green]ok[/]"]
            if one.feed in beside:
                verdict = [f"+{beside[one.feed]} not the demo's"]
        made.add_row(one.feed, *(count(one.counts[name]) for name in COUNTS), count(one.in_table), *verdict)
    return made


def left_table(left: Scan) -> Table:
    """The files left in inbound, and why."""
    made = table("still in inbound", "why")
    for pending, reason in left.unmatched:
        made.add_row(pending.key, reason)
    for waiting in left.waiting:
        made.add_row(waiting.pending.key, waiting.reason)
    return made


def read_rows(connection: SnowflakeConnection, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """A query's column names, in lower case, and rows."""
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return [column.name.lower() for column in cursor.description], list(cursor.fetchall())


def rows_table(columns: list[str], rows: Iterable[tuple[Any, ...]]) -> Table:
    """A table of rows, unchanged."""
    made = table(*columns, right=columns[1:])
    for row in rows:
        made.add_row(*("" if value is None else amount(value) for value in row))
    return made
