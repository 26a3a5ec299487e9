"""Writes a feed's loads into a ledger that was lost, or lacks some, from the manifests in the lake.

A manifest holds what a load recorded: rows, files, bytes, contract, position, snapshot. It doesn't say whether it was
loaded, nor whether later loads took its rows out. The rules of the load modes say the latter, and the marks of unloaded
extracts and the rows that a table holds say the former. Nothing here changes a table, and a load that is recorded
already is left as it is, so all of it can be repeated.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import obstore

from data_platform.contract import EXTRACT_ID, quoted
from data_platform.feeds.spec import FeedSpec
from data_platform.lake.extracts import UNLOADED, Lake, key_of_mark
from data_platform.lake.manifest import MANIFEST_NAME, ROOT, Manifest
from data_platform.warehouse import ledger, platform, table_rows
from data_platform.warehouse.ledger import LoadRow
from data_platform.warehouse.load import load_rejects, load_row
from data_platform.warehouse.load_lock import take_lock
from data_platform.warehouse.rebuild import AGAIN
from data_platform.warehouse.rows import time_of_record
from data_platform.warehouse.schema import read_columns
from data_platform.warehouse.table import raw_table
from data_platform.warehouse.transaction import transaction

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection
    from snowflake.connector.cursor import SnowflakeCursor

READS_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class FeedInLake:
    """A feed's extracts in the lake, and the ids of those that are marked as not loaded yet."""

    manifests: Sequence[Manifest]
    unloaded: Collection[str]

    @classmethod
    def read(cls, lake: Lake, source: str, table: str) -> FeedInLake:
        """Lists the feed's objects, and reads each manifest. Raises ManifestError."""
        marks = [mark.path for mark in lake.objects(f"{UNLOADED}/{source}/{table}/")]
        found = [
            key_of_mark(item.path.removesuffix(f"/{MANIFEST_NAME}"))
            for item in lake.objects(f"{ROOT}/{source}/{table}/")
            if item.path.endswith(f"/{MANIFEST_NAME}")
        ]
        with ThreadPoolExecutor(READS_AT_ONCE, thread_name_prefix="manifest") as pool:
            manifests = [each for each in pool.map(lake.read_manifest, found) if each is not None]
        return cls(manifests, {key_of_mark(path).extract_id for path in marks})


def feeds_in(lake: Lake) -> set[str]:
    """`<source>/<table>` of each feed that has extracts in the lake."""
    sources = obstore.list_with_delimiter(lake.store, f"{ROOT}/")["common_prefixes"]
    tables = (
        path
        for source in sources
        for path in obstore.list_with_delimiter(lake.store, f"{str(source).rstrip('/')}/")["common_prefixes"]
    )
    return {str(path).strip("/").removeprefix(f"{ROOT}/") for path in tables}


@dataclass(frozen=True, slots=True)
class InTable:
    """A feed's table: its rows, and the ids of the extracts that they are from. None of both if it is gone."""

    rows: int | None
    extracts: Collection[str]

    @classmethod
    def read(cls, connection: SnowflakeConnection, database: str, source: str, table: str) -> InTable:
        """Reads the column of extract ids, all of it."""
        there = raw_table(database, source, table)
        if not read_columns(connection, there):
            return cls(None, ())
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {quoted(EXTRACT_ID)}, COUNT(*) FROM {there.sql} GROUP BY 1")
            found = {extract_id: int(rows) for extract_id, rows in cursor.fetchall()}
        return cls(sum(found.values()), found.keys())


@dataclass(frozen=True, slots=True)
class Missing:
    """What a feed's ledger lacks. `new`: loads; `removed`: ids of loads whose rows it has in the table, and which later
    ones took out."""

    new: Sequence[LoadRow]
    removed: Collection[str]


def loads_of_table(feed: FeedSpec, lake: FeedInLake, table: InTable) -> list[LoadRow]:
    """The loads of a table that the platform reads itself, in order. Leaves out extracts that aren't loaded yet, and
    snapshots that aren't complete."""
    parts = Counter(each.snapshot_id for each in lake.manifests)
    loaded = [
        each
        for each in lake.manifests
        if (each.snapshot_id is None or parts[each.snapshot_id] == each.parts)
        and (each.extract_id in table.extracts or each.extract_id not in lake.unloaded)
    ]
    loaded.sort(key=lambda each: (_true_at(each), each.started_at))
    gone = dict(_taken_out(feed, loaded))
    return [
        load_row(each, feed.load_mode, each.run_id, each.committed_at, place, _true_at(each))._replace(
            removed_at=gone.get(each.extract_id)
        )
        for place, each in enumerate(loaded, start=1)
    ]


def _true_at(manifest: Manifest) -> datetime:
    return manifest.effective_at or manifest.started_at


def _taken_out(feed: FeedSpec, loaded: Sequence[Manifest]) -> Iterator[tuple[str, datetime]]:
    """The extracts whose rows later ones have replaced, and when: with load mode `replace` those before the last
    snapshot of their partition; with others those before the source was read again from its beginning."""
    if feed.load_mode == "replace":
        last = {each.partition: each for each in loaded}
        for each in loaded:
            by = last[each.partition]
            if (each.snapshot_id or each.extract_id) != (by.snapshot_id or by.extract_id):
                yield each.extract_id, by.committed_at
        return
    again = [each.run_id for each in loaded if each.run_id is not None and each.run_id.startswith(AGAIN)]
    if again:
        first = next(place for place, each in enumerate(loaded) if each.run_id == again[-1])
        yield from ((each.extract_id, loaded[first].committed_at) for each in loaded[:first])


def rejects_of(feed: FeedSpec, lake: FeedInLake, loads: Sequence[LoadRow]) -> list[Manifest]:
    """The extracts whose rejects belong in the ledger: those of loads, except where the source was read again."""
    kept = {each.extract_id for each in loads if each.removed_at is None or feed.load_mode == "replace"}
    return [each for each in lake.manifests if each.extract_id in kept]


def missing_loads(cursor: SnowflakeCursor, database: str, feed: FeedSpec, loads: Sequence[LoadRow]) -> Missing:
    """Which of these loads the ledger lacks, numbered as those that come next."""
    cursor.execute(f"SELECT EXTRACT_ID, REMOVED_AT IS NULL FROM {ledger.loads_of(database, feed)}")
    there = dict(cursor.fetchall())
    last = ledger.last_loads(cursor, database, feed).sequence
    new = [each for each in loads if each.extract_id not in there]
    return Missing(
        [each._replace(sequence=place) for place, each in enumerate(new, start=last + 1)],
        {each.extract_id for each in loads if each.removed_at is not None and there.get(each.extract_id)},
    )


def record_missing(
    connection: SnowflakeConnection,
    database: str,
    feed: FeedSpec,
    loads: Sequence[LoadRow],
    rejects: Sequence[Manifest],
    *,
    run_id: str,
    also: Callable[[SnowflakeCursor], None] = lambda cursor: None,
) -> Missing:
    """Records what the ledger lacks of these loads, in one transaction that holds the feed's lock, with the rejects of
    these extracts that aren't there. `also` writes the source's own accounts. Returns what was recorded."""
    table = raw_table(database, feed.source, feed.table)
    has_table = bool(read_columns(connection, table))
    with connection.cursor() as cursor, transaction(cursor, f"data-platform ledger rebuild {feed.name}") as run:
        take_lock(run.execute, platform.load_lock(database, feed.source, feed.table), run_id)
        found = missing_loads(cursor, database, feed, loads)
        last = ledger.last_loads(cursor, database, feed)
        ledger.record_removed(cursor, database, feed, found.removed, time_of_record([last.recorded_at]))
        load_rejects(run, table, feed, rejects, {each.extract_id for each in rejects})
        ledger.write_loads(cursor, database, found.new)
        if (
            feed.load_mode in ("merge", "history")
            and has_table
            and feed.name not in table_rows.expected(cursor, database)
        ):
            table_rows.record(cursor, database, feed, table_rows.count(cursor, table), datetime.now(UTC))
        also(cursor)
    return found
