"""Deliveries as a source: a slice is one version of one file, and settling writes receipts and empties inbound.

Killed anywhere, the next run with the same files finishes the job: inbound holds what isn't settled, the lake what is
read, and the ledger what is loaded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from math import inf
from typing import TYPE_CHECKING, Any, ClassVar

from data_platform.extract.source import File, Position, Slice, Source, extract_id_of
from data_platform.feeds.files import FileFeedSpec
from data_platform.lake.extracts import Lake
from data_platform.lake.manifest import Manifest
from data_platform.landing.bucket import LandingBucket
from data_platform.landing.delivery import Delivery
from data_platform.landing.history import unresolved
from data_platform.landing.outcomes import DeliveryRow, Settlement
from data_platform.landing.policy import DeliveryPolicy
from data_platform.landing.reading import DeliveryReading
from data_platform.landing.settle import archive, write_receipts
from data_platform.landing.versions import Requested, Work, versions

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

SETTLES_AT_ONCE = 8


class DeliverySource(Source):
    """The requested files of one feed. Leaves out files that are gone: another run has settled them. `progress`
    receives messages for the log, from several threads."""

    redelivers: ClassVar[bool] = True
    feed: FileFeedSpec

    def __init__(
        self,
        feed: FileFeedSpec,
        requested: Sequence[Requested],
        *,
        bucket: LandingBucket,
        lake: Lake,
        database: str,
        run_id: str | None,
        gives_way_at: float = inf,
        progress: Callable[[str], None] = lambda message: None,
    ) -> None:
        super().__init__(feed)
        self.gives_way_at = gives_way_at
        self._requested = requested
        self._bucket = bucket
        self._lake = lake
        self._database = database
        self._run_id = run_id
        self._progress = progress
        self._work: dict[str, Work] = {}
        self._policies: list[DeliveryPolicy] = []
        self._manifests: dict[str, Manifest] = {}

    def plan(self, *, since: Position | None, partition: str | None, unfinished: Sequence[Manifest]) -> Iterator[Slice]:
        """A slice for each version of the requested files. Its extract's id follows from the delivery and the contract:
        a retry finds an earlier try's extract, and a corrected contract makes a new one."""
        for work in versions(self._bucket, self.feed, self._requested, self._progress):
            yield self._slice(work, self.feed.partition_key(work.delivery.file_name))

    def _slice(self, work: Work, partition: str | None) -> Slice:
        delivery = work.delivery
        extract_id = extract_id_of(delivery.id, self.feed.contract.hash)
        self._work[extract_id] = work
        return Slice(
            extract_id,
            effective_at=self.feed.effective_at(partition, delivery.landed_at),
            partition=partition,
            origin={
                "delivery_id": delivery.id,
                "file_name": delivery.file_name,
                "version_id": delivery.version_id,
                # So that the ledger can be written anew from the lake (`recovery.py`).
                "object_key": delivery.key,
                "etag": delivery.etag,
                "size_bytes": delivery.size,
                "landed_at": delivery.landed_at.isoformat(),
            },
            file=File(delivery.file_name, delivery.size, work),
        )

    @contextmanager
    def open(self, slice_: Slice) -> Iterator[DeliveryReading]:
        """Reads the file's header. Raises DeliveryGone."""
        yield DeliveryReading(_work(slice_), self.feed, self._bucket)

    def unread(self, slice_: Slice, reason: str) -> DeliveryReading:
        """Counts and hashes the bytes, for the receipt. Raises DeliveryGone."""
        return DeliveryReading(_work(slice_), self.feed, self._bucket, unreadable=reason)

    def __getstate__(self) -> dict[str, Any]:
        """What opening a slice needs."""
        return {"feed": self.feed, "_bucket": self._bucket}

    def policy(self, manifests: Sequence[Manifest], *, reload: bool) -> DeliveryPolicy:
        """Outcomes, supersession and duplicates."""
        self._manifests |= {manifest.extract_id: manifest for manifest in manifests}
        policy = DeliveryPolicy(
            self._database,
            self.feed,
            manifests,
            None if reload else [self._settlement(manifest) for manifest in manifests],
            lake=self._lake,
            run_id=self._run_id,
        )
        self._policies.append(policy)
        return policy

    def settle(self) -> None:
        """Writes the receipts, of other deliveries too whose outcome has changed, and moves the files out of inbound.
        Where some can't be copied, the others are still moved before the error is raised."""
        companions = {work.delivery.id: work.companion for work in self._work.values()}
        corrected = {row.delivery_id: row for policy in self._policies for row in policy.corrected}
        with ThreadPoolExecutor(SETTLES_AT_ONCE, thread_name_prefix="settle") as pool:
            # First: once the files are moved, no run comes back to these.
            zone = self.feed.time_zone
            list(pool.map(lambda row: write_receipts(row, self._bucket, self._lake, zone), corrected.values()))
            done = [pool.submit(self._archive, row, companions.get(row.delivery_id)) for row in self.receipts]
        self._bucket.delete(*(version for one in done if one.exception() is None for version in one.result()))
        for one in done:
            one.result()
        if done:
            self._progress(f"{self.feed.name}: settled {len(done)} files")

    def _archive(self, row: DeliveryRow, companion: Delivery | None) -> list[Delivery]:
        manifest = self._manifests.get(row.extract_id or "")
        zone = self.feed.time_zone
        return archive(row, self._bucket, self._lake, zone, manifest=manifest, companion=companion)

    def problems(self) -> list[str]:
        """Files that aren't loaded, and why."""
        return [f"{row.file_name} is {row.status}: {row.reason}" for row in self.receipts if row.status != "loaded"]

    def metadata(self) -> dict[str, Any]:
        """Rejects, and deliveries by outcome; without outcomes that none has."""
        rejects = sum(receipt.rows_rejected for receipt in self.receipts)
        outcomes = {status: number for status, number in self.outcomes.items() if number}
        return {"rejects": rejects, "landed": len(self.receipts), **outcomes}

    @property
    def receipts(self) -> list[DeliveryRow]:
        """The outcomes of the deliveries so far."""
        return [row for policy in self._policies for row in policy.outcomes.values()]

    @property
    def outcomes(self) -> dict[str, int]:
        """Deliveries by outcome."""
        counted: Counter[str] = Counter(receipt.status for receipt in self.receipts)
        return {status: counted[status] for status in ("loaded", "duplicate", "superseded", "quarantined")}

    @property
    def usual_rows(self) -> list[int]:
        """The row counts of the feed's deliveries that were loaded before these."""
        return list(self._policies[0].usual_rows) if self._policies else []

    def unresolved(self, connection: SnowflakeConnection, since: datetime) -> list[DeliveryRow]:
        """The feed's quarantined deliveries since then that nothing has resolved, of other runs too."""
        with connection.cursor() as cursor:
            return unresolved(cursor, self._database, self.feed, since=since)

    def _settlement(self, manifest: Manifest) -> Settlement:
        return settlement_of(self.feed, manifest, self._work[manifest.extract_id].delivery)


def settlement_of(feed: FileFeedSpec, manifest: Manifest, delivery: Delivery) -> Settlement:
    """The outcome that a delivery's extract asks for."""
    read = manifest.position_to
    reason = manifest.refused or read["quarantined"]  # a release before `refused` said it there only
    read_whole = read["quarantined"] or not manifest.refused  # else Snowflake refuses it, and none of it counts
    return Settlement(
        delivery_id=delivery.id,
        partner=feed.source,
        feed=feed.table,
        file_name=delivery.file_name,
        object_key=delivery.key,
        version_id=delivery.version_id,
        etag=delivery.etag,
        size_bytes=delivery.size,
        content_sha256=read["sha256"],
        landed_at=delivery.landed_at,
        partition=manifest.partition,
        status="quarantined" if reason else "loaded",
        reason=reason,
        rows_read=read["rows_read"] if read_whole else 0,
        rows_rejected=read["rows_rejected"] if read_whole else 0,
        extract_id=manifest.extract_id,
    )


def _work(slice_: Slice) -> Work:
    assert slice_.file is not None and isinstance(slice_.file.version, Work)  # noqa: S101 - `plan` planned it
    return slice_.file.version
