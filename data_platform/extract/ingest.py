"""Brings a feed's new data from its source to its table: extracts, loads of one transaction each, and settling.

Killed anywhere, the next run finishes the job: it finds committed extracts, the ledger has what is loaded, and only the
rest is done. The caller tells Dagster of the loaded rows between `run` and `settle`; what isn't settled, the next run
tells again.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING, TypeVar

from data_platform.extract.apart import load_apart
from data_platform.extract.extract import Extraction, key_of
from data_platform.extract.source import OPERATOR, Position, Slice, SliceGone, SliceLeft, Source
from data_platform.extract.workers import READS_AT_ONCE
from data_platform.feeds.spec import WHOLE
from data_platform.lake.extracts import Lake
from data_platform.lake.manifest import ExtractKey, Manifest
from data_platform.warehouse import ledger
from data_platform.warehouse.describe import count_rows
from data_platform.warehouse.further_columns import with_further
from data_platform.warehouse.load import LoadResult, load_extracts
from data_platform.warehouse.load_rules import LoadRefused, require_manifest
from data_platform.warehouse.retired import require_in_use
from data_platform.warehouse.schema import apply_schema, plan_changes, plan_schema, read_columns
from data_platform.warehouse.table import TableRef, raw_table

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

SLICES_A_LOAD = 200

Item = TypeVar("Item")


@dataclass
class Ingested:
    """What became of a feed's slices. `extracted`: the extracts that are committed. `loads`: what each transaction did.
    `done`: extracts that no later run need look at. `up_to_date`: the table has all that its source had."""

    target: TableRef
    extracted: list[Manifest] = field(default_factory=list)
    loads: list[LoadResult] = field(default_factory=list)
    done: list[Manifest] = field(default_factory=list)
    up_to_date: bool = False
    table_rows: int = 0
    seconds: float = 0.0

    @property
    def manifests(self) -> list[Manifest]:
        """The extracts whose rows are in the table, including those that an earlier run loaded and left unsettled."""
        return [manifest for load in self.loads for manifest in (*load.kept, *load.loaded)]

    @property
    def rows_loaded(self) -> int:
        """Rows that these extracts put into the table."""
        return sum(manifest.rows for manifest in self.manifests)

    @property
    def versions(self) -> int:
        """How many versions of rows began, with load mode `history`."""
        return sum(load.versions for load in self.loads)

    @property
    def repeated_keys(self) -> int:
        """How many keys are in more than one row of a snapshot."""
        return sum(load.repeated_keys for load in self.loads)

    @property
    def rows_deleted(self) -> int:
        """Rows taken out of it: they were replaced, or their source takes them back."""
        return sum(load.rows_deleted for load in self.loads)

    @property
    def query_ids(self) -> list[str]:
        """Snowflake's ids of the loads' statements."""
        return [query_id for load in self.loads for query_id in load.query_ids]


class Ingestion:
    """Ingests one feed. `connect` opens a Snowflake session; `progress` receives messages for the log, from several
    threads."""

    def __init__(
        self,
        source: Source,
        *,
        lake: Lake,
        connect: Callable[[], SnowflakeConnection],
        database: str,
        run_id: str | None,
        query_tag: str | None = None,
        progress: Callable[[str], None] = lambda message: None,
    ) -> None:
        self.source = source
        self.feed = source.feed
        self.target = raw_table(database, self.feed.source, self.feed.table)
        self._database = database
        self._lake = lake
        self._connect = connect
        self._run_id = run_id
        self._query_tag = query_tag
        self._progress = progress
        self._extraction = Extraction(lake, source, run_id=run_id, progress=progress)

    def run(self, *, extracts: bool = True, loads: bool = True, partition: str | None = None) -> Ingested:
        """Reads what is new into extracts, and loads what is committed and not yet loaded, up to 200 extracts in a
        transaction. `extracts` and `loads`: whether to do the one and the other."""
        started = time.monotonic()
        result = Ingested(self.target)
        with self._connect() as connection:
            require_in_use(connection, self._database, self.feed)
            waiting = [] if self.source.redelivers else self._lake.unloaded(self.feed.source, self.feed.table)
            slices = self._plan(connection, waiting, partition) if extracts or self.source.redelivers else ()
            for batch in chain([[]], _batches(slices)):  # first, what an earlier run has left
                new = self._extract(batch, read=extracts)
                result.extracted += new if extracts else []
                ready, waiting = _whole([*waiting, *new])
                if loads and ready:
                    load_apart(
                        ready, partial(self._load, connection, result), partial(self._refuse, connection, result)
                    )
                elif not loads:
                    waiting = []
            result.done += [each for each in waiting if _outdated(each, result.manifests)]
            result.up_to_date = extracts and loads and not self.source.redelivers
            if result.up_to_date and not result.loads:  # a source that has been empty so far has a table too
                apply_schema(connection, plan_schema(connection, self.target, self.feed.table_columns))
            if result.up_to_date or result.loads:
                result.table_rows = count_rows(connection, self.target.sql)
        result.seconds = time.monotonic() - started
        return result

    def reload(self, partition: str | None = None) -> Ingested:
        """Loads the feed's extracts (of one partition, or all) into the table again, after deleting their rows. The
        result is the same rows; also after a migration, a lost table, or rows changed by hand. With load mode
        `history`, always all of them: a version lasts for many days."""
        started = time.monotonic()
        result = Ingested(self.target)
        with self._connect() as connection:
            with connection.cursor() as cursor:
                there = ledger.extracts_in_table(cursor, self._database, self.feed)
            manifests = [
                require_manifest(self._lake, ExtractKey(self.feed.source, self.feed.table, extract_id, of))
                for extract_id, (of, *_) in there.items()
                if partition in (None, of) or self.feed.load_mode == "history"
            ]
            manifests.sort(key=lambda each: each.effective_at or each.started_at)
            at_once = len(manifests) if self.feed.load_mode in WHOLE else SLICES_A_LOAD
            for batch in _batches(manifests, at_once):
                self._load(connection, result, batch, reload=True)
            result.table_rows = count_rows(connection, self.target.sql) if manifests else 0
        result.seconds = time.monotonic() - started
        return result

    def settle(self, result: Ingested) -> None:
        """Tells the source, and forgets what is done."""
        self.source.settle()
        if not self.source.redelivers:
            self._lake.mark_loaded(manifest.key for manifest in result.done)

    def _plan(
        self, connection: SnowflakeConnection, unloaded: Sequence[Manifest], partition: str | None
    ) -> Iterable[Slice]:
        since: Position | None = None
        if unloaded:
            since = unloaded[-1].position_to
        elif not self.source.redelivers:
            with connection.cursor() as cursor:
                since = ledger.last_position(cursor, self._database, self.feed)
                if since is None and read_columns(connection, self.target):
                    ledger.refuse_lost(cursor, self.target, self.feed)  # before it is read: a service may cost money
        return self.source.plan(since=since, partition=partition, unfinished=_whole(unloaded)[1])

    def _extract(self, slices: Sequence[Slice], *, read: bool) -> list[Manifest]:
        """The slices' extracts, in order. With `read`, those that aren't committed are made; without, left out."""

        def one(slice_: Slice) -> Manifest | None:
            if not read:
                return self._lake.read_manifest(key_of(self.feed, slice_))
            try:
                return self._extraction.extract(slice_)
            except SliceGone as gone:
                self._progress(f"{self.feed.name}: {gone}: settled by another run")
            except SliceLeft as left:
                self._progress(f"{self.feed.name}: {left}")
            return None

        with ThreadPoolExecutor(READS_AT_ONCE, thread_name_prefix="read") as pool:
            found = [manifest for manifest in pool.map(one, slices) if manifest is not None]
        if not read and len(found) < len(slices):
            left = len(slices) - len(found)
            self._progress(f"{self.feed.name}: {left} have no extract yet; materialize lake/{self.feed.name} too")
        if found and read:
            rows, rejects = sum(each.rows for each in found), sum(each.rejects for each in found)
            self._progress(f"{self.feed.name}: {len(found)} extracts of {rows} rows, {rejects} rejects")
        return found

    def _load(
        self,
        connection: SnowflakeConnection,
        result: Ingested,
        manifests: Sequence[Manifest],
        *,
        reload: bool = False,
    ) -> None:
        there = read_columns(connection, self.target)
        if not there and not reload:
            require_in_use(connection, self._database, self.feed)  # it may have been renamed since this run began
            self._refuse_lost(connection)
        feed = self.feed.with_contract(with_further(self.feed.contract, manifests, there))
        apply_schema(connection, plan_changes(self.target, there, feed.table_columns))
        load = load_extracts(
            connection,
            self._database,
            feed,
            manifests,
            lake=self._lake,
            policy=self.source.policy(manifests, reload=reload),
            run_id=self._run_id,
            query_tag=self._query_tag,
        )
        result.loads.append(load)
        result.done += manifests
        self._progress(f"{self.feed.name}: loaded {load.rows_loaded} rows of {len(load.loaded)} extracts")

    def _refuse_lost(self, connection: SnowflakeConnection) -> None:
        """Raises LoadRefused if somebody dropped the table: a new one would lack the rows that were loaded before."""
        if self.feed.load_mode == "replace" and self.feed.partition is None:
            return  # this load brings them all
        with connection.cursor() as cursor:
            lost = ledger.extracts_in_table(cursor, self._database, self.feed)
        if lost:
            raise LoadRefused(
                f"{self.feed.name}: the table {self.target} is gone, and the ledger has {len(lost)} extracts in it. Run"
                f" `data-platform run --reload --select raw/{self.feed.name}`, which loads them again, from the lake;"
                " then this load goes on by itself"
            )

    def _refuse(
        self, connection: SnowflakeConnection, result: Ingested, manifests: Sequence[Manifest], error: Exception
    ) -> None:
        """Accounts for an extract with a value that Snowflake refuses: as refused, or, if the source doesn't deliver
        again, by failing the feed."""
        for manifest in manifests:
            what = manifest.origin.get("file_name") or f"extract {manifest.extract_id}"
            said = f"error {getattr(error, 'errno', None)}" if self.feed.contract.personal else str(error)
            reason = (
                f"{self.feed.name}: {what}: Snowflake refuses a value that the contract accepts ({said}). Correct the"
                f" value and send it again.{OPERATOR}if the value is right, correct the contract, and load it again"
            )
            if not self.source.redelivers:
                raise LoadRefused(reason) from error
            self._load(
                connection,
                result,
                [replace(manifest, files=(), rows=0, rejects=0, rejects_file=None, refused=reason)],
            )


def _batches(items: Iterable[Item], size: int = SLICES_A_LOAD) -> Iterator[list[Item]]:
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


def _whole(manifests: Iterable[Manifest]) -> tuple[list[Manifest], list[Manifest]]:
    """Those that may be loaded, and the parts of snapshots that aren't complete."""
    each_once = {manifest.extract_id: manifest for manifest in manifests}.values()
    there = Counter(manifest.snapshot_id for manifest in each_once)
    parts: tuple[list[Manifest], list[Manifest]] = [], []
    for each in each_once:
        parts[each.snapshot_id is not None and there[each.snapshot_id] != each.parts].append(each)
    return parts


def _outdated(part: Manifest, loaded: Iterable[Manifest]) -> bool:
    """Whether a later snapshot has been loaded than the incomplete one that this is a part of."""
    return any(each.effective_at and part.effective_at and each.effective_at > part.effective_at for each in loaded)
