"""The accounts of files, extracts and rows, feed by feed, from the ledger, and how they compare with an answer key."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from data_platform.cli.output import add_row, amount, colored, count, local_time, table
from data_platform.landing.history import Accounting, accounting
from data_platform.warehouse.describe import rows_of
from data_platform.warehouse.ledger import LoadSums
from data_platform.warehouse.table import raw_table

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from rich.table import Table
    from rich.text import Text
    from snowflake.connector import SnowflakeConnection

    from data_platform.feeds.spec import FeedSpec
    from data_platform.landing.sorting import Scan
    from data_platform.publish.ledger import Record

TABLE_COUNTS = ("extracts", "current", "replaced", "rows_read", "rows_loaded", "rejects")
COUNTS = ("landed", "loaded", "duplicate", "superseded", "quarantined", "rows_read", "rows_loaded", "rejects")


@dataclass(frozen=True)
class Account:
    """One feed: its counts by name, and the rows of its table. `whole`: each loaded row is in the table, as no later
    row with the same key takes its place. `rows_replaced`: rows of further loads, which were taken out of it.
    `expected`: how many rows the table is to have, if it isn't `whole`; None if an earlier release has loaded it."""

    feed: str
    counts: Mapping[str, int]
    in_table: int
    whole: bool
    rows_replaced: int = 0
    expected: int | None = None

    @property
    def rows_merged(self) -> int:
        """Loaded rows that have become one row with another of the same key."""
        return 0 if self.whole else max(self.counts["rows_loaded"] - self.in_table, 0)

    @property
    def problems(self) -> list[str]:
        """The counts that don't add up, which would be a defect of the platform, and rows that the table has lost."""
        raise NotImplementedError

    @property
    def _lost(self) -> list[str]:
        """A key, or a version, that comes again makes no further row; otherwise each loaded row is in the table."""
        loaded = self.counts["rows_loaded"]
        wanted = loaded if self.whole or self.expected is None else self.expected
        if self.in_table == wanted or (self._uncounted and 0 < self.in_table < loaded):
            return []
        what = f"{self.feed}: the ledger expects {wanted:,} rows, and the table has {self.in_table:,}"
        rebuild = f"`data-platform feed re-extract {self.feed}` rebuilds the table"
        if self.in_table > wanted:
            return [f"{what}. {rebuild}"]
        reload = f"`data-platform run --reload --select raw/{self.feed}` loads them again, from the lake"
        return [f"{what}. {reload}" + ("" if self.whole else f". If they differ then, {rebuild}")]

    @property
    def _uncounted(self) -> bool:
        """Whether the rows of a table whose rows take each other's place were never counted after a load."""
        return not self.whole and self.expected is None

    def differences(self, expected: Mapping[str, int], in_table: int | None) -> list[str]:
        """Its differences from the expected counts: `landed 176, expected 177`."""
        found = [
            f"{name.replace('_', ' ')} {self.counts[name]:,}, expected {wanted:,}"
            for name, wanted in expected.items()
            if self.counts[name] != wanted
        ]
        if in_table is not None and self.in_table != in_table:
            found.append(f"table has {self.in_table:,} rows, expected {in_table:,}")
        return found


@dataclass(frozen=True)
class FileAccount(Account):
    """A file feed's, by the names in COUNTS."""

    @property
    def problems(self) -> list[str]:
        """The counts that don't add up, and rows that the table has lost."""
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
        return found + self._lost


@dataclass(frozen=True)
class TableAccount(Account):
    """A table of a database or web API, by the names in TABLE_COUNTS."""

    @property
    def problems(self) -> list[str]:
        """Rows that the table has lost, or that no load brought."""
        return self._lost


def read_table_accounts(
    connection: SnowflakeConnection,
    database: str,
    feeds: Iterable[FeedSpec],
    loads: Mapping[str, LoadSums],
    expected: Mapping[str, int],
) -> list[TableAccount]:
    """The accounts of these feeds, those that nothing was loaded of left out. `loads`: every feed's. `expected`: how
    many rows merged tables are to have."""
    return [
        TableAccount(
            feed.name,
            {
                "extracts": row.extracts,
                "current": row.extracts - row.replaced,
                "replaced": row.replaced,
                "rows_read": row.rows_loaded + row.rows_rejected,
                "rows_loaded": row.rows_loaded,
                "rejects": row.rows_rejected,
            },
            rows_of(connection, raw_table(database, feed.source, feed.table)),
            whole=feed.load_mode == "replace",
            rows_replaced=row.rows_replaced,
            expected=expected.get(feed.name),
        )
        for feed in feeds
        if (row := loads.get(feed.name)) is not None
    ]


def read_accounts(
    connection: SnowflakeConnection,
    database: str,
    feeds: Collection[str] | None,
    loads: Mapping[str, LoadSums],
    expected: Mapping[str, int],
    *,
    whole: Collection[str] = (),
) -> list[FileAccount]:
    """The accounts of these feeds (`<partner>/<feed>`; None: all that anything has landed for). `loads`: every feed's.
    `expected`: how many rows tables with load mode `merge` or `history` are to have. `whole`: the feeds whose tables
    hold every row that was loaded: those with load mode `append` or `replace`."""
    named = ((f"{row.partner}/{row.feed}", row) for row in accounting(connection, database))
    return [
        FileAccount(
            feed,
            _counts(row),
            rows_of(connection, raw_table(database, row.partner, row.feed)) if row.loaded else 0,
            whole=feed in whole,
            rows_replaced=loads[feed].rows_replaced if feed in loads else 0,
            expected=expected.get(feed),
        )
        for feed, row in named
        if feeds is None or feed in feeds
    ]


def _counts(row: Accounting) -> dict[str, int]:
    values = row._asdict()
    return {name: int(values["rows_rejected" if name == "rejects" else name]) for name in COUNTS}


def accounts_table(
    accounts: Iterable[Account],
    compared: Mapping[str, Collection[str]] | None,
    beside: Mapping[str, int],
) -> Table:
    """The table that a run ends with. `compared`: each feed's differences from the answer key, where there is one;
    `beside`: how many deliveries came that the key knows nothing of."""
    first = ["feed", "files landed", "= loaded", "+ duplicate", "+ superseded", "+ quarantined"]
    return _accounts_table(first, COUNTS, accounts, compared, beside)


def table_accounts_table(
    accounts: Iterable[Account],
    compared: Mapping[str, Collection[str]] | None,
    beside: Mapping[str, int],
) -> Table:
    """The same of the tables of databases and web APIs."""
    return _accounts_table(["table", "extracts", "= current", "+ replaced"], TABLE_COUNTS, accounts, compared, beside)


def _accounts_table(
    first: Sequence[str],
    counts: Sequence[str],
    accounts: Iterable[Account],
    compared: Mapping[str, Collection[str]] | None,
    beside: Mapping[str, int],
) -> Table:
    columns = [*first, "rows read", "= loaded ", "+ rejects", "in table"]
    made = table(*columns, *(["answer key"] if compared is not None else []), right=columns[1:])
    for one in accounts:
        verdict: list[str | Text] = []
        if compared is not None:
            verdict = [colored("differs", "red") if compared.get(one.feed) else colored("ok", "green")]
            if one.feed in beside:
                verdict = [f"+{beside[one.feed]} not the demo's"]
        add_row(made, one.feed, *(count(one.counts[name]) for name in counts), count(one.in_table), *verdict)
    return made


def publications_table(
    published: Mapping[str, Record], zone: ZoneInfo, compared: Mapping[str, Collection[str]] | None
) -> Table:
    """The published datasets. `compared`: as in `accounts_table`."""
    columns = ["publication", "rows", "version", "published", "from"]
    made = table(*columns, *(["answer key"] if compared is not None else []), right=["rows"])
    for name, one in sorted(published.items()):
        verdict: list[str | Text] = []
        if compared is not None:
            verdict = [colored("differs", "red") if compared.get(name) else colored("ok", "green")]
        shown = (name, count(one.rows_published), one.version, local_time(one.published_at, zone), one.source)
        add_row(made, *shown, *verdict)
    return made


def left_table(left: Scan) -> Table:
    """The files left in inbound, and why."""
    made = table("still in inbound", "why")
    for pending, reason in left.unmatched:
        add_row(made, pending.key, reason)
    for waiting in left.waiting:
        add_row(made, waiting.pending.key, waiting.reason)
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
        add_row(made, *("" if value is None else amount(value) for value in row))
    return made
