"""Reads settled deliveries again, from the archive and under today's contract, and makes their feed's table anew from
the result. `warehouse/rebuild.py` says in which order.

A delivery keeps its outcome: a loaded one stays loaded, with the rows and rejects that today's contract makes of its
file. A duplicate is read again too: its rows are loaded if the delivery that it repeats is superseded. A file that
today's contract refuses is quarantined, as if it were delivered today, if the caller lets it be: its rows leave the
table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from data_platform.extract.source import Position, Slice
from data_platform.feeds.files import FileFeedSpec
from data_platform.lake.extracts import Lake
from data_platform.lake.manifest import ExtractKey, Manifest
from data_platform.landing import ledger
from data_platform.landing.bucket import LandingBucket
from data_platform.landing.delivery import Delivery, LandingError
from data_platform.landing.outcomes import DeliveryRow
from data_platform.landing.policy import dated
from data_platform.landing.settle import settled_key
from data_platform.landing.source import DeliverySource
from data_platform.landing.versions import Work
from data_platform.warehouse.ledger import extracts_in_table
from data_platform.warehouse.load_rules import require_manifest
from data_platform.warehouse.policy import Decision
from data_platform.warehouse.rows import time_of_record

if TYPE_CHECKING:
    from snowflake.connector.cursor import SnowflakeCursor

_NAMED = 5


class ArchiveIncomplete(LandingError):
    """Files that would have to be read again are no longer in the archive."""


class ArchivedDeliveries(DeliverySource):
    """Settled deliveries of a feed, as a source: the same deliveries as before, opened where the archive has them."""

    def __init__(
        self,
        feed: FileFeedSpec,
        rows: Sequence[DeliveryRow],
        *,
        bucket: LandingBucket,
        lake: Lake,
        database: str,
        run_id: str,
        progress: Callable[[str], None] = lambda message: None,
    ) -> None:
        super().__init__(feed, (), bucket=bucket, lake=lake, database=database, run_id=run_id, progress=progress)
        self._rows = rows

    def plan(self, *, since: Position | None, partition: str | None, unfinished: Sequence[Manifest]) -> Iterator[Slice]:
        """A slice for each delivery, in the order in which they landed. Raises ArchiveIncomplete, before the first."""
        stored = {row.delivery_id: self._bucket.current(settled_key(row)) for row in self._rows}
        gone = [row.file_name for row in self._rows if stored[row.delivery_id] is None]
        if gone:
            told = ", ".join(gone[:_NAMED]) + (f" and {len(gone) - _NAMED} more" if len(gone) > _NAMED else "")
            raise ArchiveIncomplete(
                f"{self.feed.name}: the archive no longer has {told}: their retention may have ended. Leave their days"
                " out with --from and --to, which works unless a column's type has changed; or ask"
                f" {self.feed.source} to send them again"
            )
        for row in sorted(self._rows, key=lambda each: each.landed_at):
            delivery = Delivery(row.object_key, row.version_id, row.etag, row.size_bytes, row.landed_at)
            yield self._slice(Work(delivery, None, stored[row.delivery_id]), row.partition)


def rows_to_read(cursor: SnowflakeCursor, database: str, feed: FileFeedSpec) -> list[DeliveryRow]:
    """The feed's loaded deliveries and their duplicates, in the order in which they landed."""
    return sorted(ledger.in_use(cursor, database, feed), key=lambda row: row.landed_at)


def copy_to_quarantine(bucket: LandingBucket, rows: Iterable[DeliveryRow]) -> list[Delivery]:
    """Copies archived deliveries, with what accompanies them, to quarantine. Returns the versions to delete from the
    archive once the ledger says `quarantined`."""
    copied = []
    for row in rows:
        archived, quarantined = settled_key(row), settled_key(replace(row, status="quarantined"))
        folder, to_folder = archived.rsplit("/", 1)[0], quarantined.rsplit("/", 1)[0]
        for each in [each for page in bucket.pages(prefix=f"{folder}/") for each in page]:
            current = bucket.current(each.key)
            if current is not None:
                same = each.key == archived
                bucket.copy(current, quarantined if same else each.key.replace(folder, to_folder, 1))
                copied.append(current)
    return copied


class ReadAgain:
    """The policy of a table that is made anew. `extracts`: {delivery id: its new extract}, of the deliveries that were
    read again; the rows of the others come from the extracts that they have. `written`: the outcomes that changed."""

    def __init__(
        self, database: str, feed: FileFeedSpec, extracts: Mapping[str, Manifest], *, lake: Lake, run_id: str
    ) -> None:
        self.written: Sequence[DeliveryRow] = ()
        self._database = database
        self._feed = feed
        self._extracts = extracts
        self._lake = lake
        self._run_id = run_id

    def decide(self, cursor: SnowflakeCursor, known: Mapping[str, int]) -> Decision:
        """Every extract in the table, or the one that takes its place. Raises LoadRefused if the lake has lost one."""
        rows = rows_to_read(cursor, self._database, self._feed)
        now = time_of_record(row.settled_at for row in rows)
        new = {row.extract_id: each for row in rows if (each := self._extracts.get(row.delivery_id)) is not None}
        landed_at = {row.extract_id: row.landed_at for row in rows}
        load = []
        there = extracts_in_table(cursor, self._database, self._feed)
        for extract_id, (partition, effective_at, _) in there.items():
            key = ExtractKey(self._feed.source, self._feed.table, extract_id, partition)
            manifest = new.get(extract_id) or require_manifest(self._lake, key)
            if manifest.refused is None:
                at = landed_at.get(extract_id) or effective_at or manifest.started_at
                load.append(dated(self._feed, manifest, at))
        load.sort(key=lambda each: each.effective_at or each.started_at)
        self.written = [
            replace(
                row,
                status=row.status if again.refused is None else "quarantined",
                reason=row.reason if again.refused is None else again.refused,
                extract_id=again.extract_id,
                rows_read=again.rows + again.rejects,
                rows_loaded=again.rows if row.status == "loaded" and again.refused is None else 0,
                rows_rejected=again.rejects,
                run_id=self._run_id,
                settled_at=now,
            )
            for row in rows
            if (again := self._extracts.get(row.delivery_id)) is not None and again.extract_id != row.extract_id
        ]
        rejects = [each for each in self._extracts.values() if each.refused is not None]
        return Decision(load=load, remove=there.keys() - {each.extract_id for each in load}, rejects=rejects)

    def record(self, cursor: SnowflakeCursor) -> None:
        """Writes the deliveries' new counts and extracts."""
        ledger.write_deliveries(cursor, self._database, self.written)
