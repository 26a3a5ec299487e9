"""Reads one slice of a source into one committed extract."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pyarrow as pa

from data_platform.contract import Contract
from data_platform.extract.limits import Limits, limits_of, memory_to_declare
from data_platform.extract.source import OPERATOR, File, Reading, Refused, Slice, SliceLeft, Source
from data_platform.extract.workers import WORKERS, WorkerEnded, Workers
from data_platform.feeds.spec import FeedSpec
from data_platform.lake.extracts import Lake
from data_platform.lake.manifest import ExtractKey, Manifest


def key_of(feed: FeedSpec, slice_: Slice) -> ExtractKey:
    """The key of the slice's extract."""
    return ExtractKey(feed.source, feed.table, slice_.extract_id, slice_.partition)


def rows_schema(feed: FeedSpec, contract: Contract) -> pa.Schema:
    """The schema of a feed's rows, as a source gives them: the contract's columns and the source's own."""
    further = (pa.field(column.name, column.arrow_type, column.nullable) for column in feed.metadata_columns)
    return pa.schema([*contract.arrow_schema, *further])


class Extraction:
    """Makes the extracts of one source. Its methods may be called from any thread."""

    def __init__(
        self,
        lake: Lake,
        source: Source,
        *,
        run_id: str | None,
        progress: Callable[[str], None] = lambda message: None,
        workers: Workers = WORKERS,
    ) -> None:
        self._lake = lake
        self._source = source
        self._run_id = run_id
        self._progress = progress
        self._workers = workers
        self._pickled: bytes | None = None

    def extract(self, slice_: Slice) -> Manifest:
        """Makes the slice's extract, as `extract` does: in this process, or, of a file, in a worker process. A file
        whose reading ends its worker is read once more, on its own, as it may have been the victim of something else;
        then it is refused.

        Raises what `extract` raises, SliceLeft, and OSError if no worker can be started.
        """
        if slice_.file is None:
            return extract(self._lake, self._source, slice_, run_id=self._run_id)
        feed, file = self._source.feed, slice_.file
        limits = limits_of(feed.compute, file.size)
        try:
            return self._in_worker(slice_, file, limits)
        except WorkerEnded as ended:
            self._progress(f"{feed.name}: {file.name}: {ended}; reading it once more, on its own")
        try:
            return self._in_worker(slice_, file, limits, alone=True)
        except WorkerEnded as ended:
            advice = (
                f"Send it again.{OPERATOR}replay it first if the machine is to blame; report it if that doesn't help"
            )
            if ended.of_memory:
                advice = (
                    f"Send the rows in several files.{OPERATOR}if such files are right, set the feed's compute.memory"
                    f" to {memory_to_declare(limits)} or more and replay it"
                )
            refused = f"{feed.name}: {file.name}: {ended}, and so it was at a second try. {advice}"
        return _commit(self._lake, self._source, slice_, self._source.unread(slice_, refused), run_id=self._run_id)

    def _in_worker(self, slice_: Slice, file: File, limits: Limits, *, alone: bool = False) -> Manifest:
        """Raises WorkerEnded, or SliceLeft if there is no time left to read the file, as others wait for this run."""
        if self._pickled is None:
            self._pickled = pickle.dumps((self._lake, self._source))
        left = self._source.gives_way_at - time.monotonic()
        try:
            if left > 0:
                return self._workers.call(  # type: ignore[no-any-return]
                    self._pickled,
                    partial(extract, slice_=slice_, run_id=self._run_id),
                    replace(limits, seconds=min(limits.seconds, left)),
                    alone=alone,
                    modules=[type(self._source).__module__],
                )
        except WorkerEnded:
            if time.monotonic() < self._source.gives_way_at:
                raise
        raise SliceLeft(f"{file.name} is left to another run: others wait for this one")


def extract(lake: Lake, source: Source, slice_: Slice, *, run_id: str | None) -> Manifest:
    """Reads a slice and commits its extract, with the position that it ends at; reads nothing if an earlier try has
    committed it. Memory holds some chunks, never the slice.

    Raises SliceGone, Refused, and the errors of the source and of storage; nothing is committed then.
    """
    committed = lake.read_manifest(key_of(source.feed, slice_))
    if committed is not None:
        return committed
    with source.open(slice_) as reading:
        return _commit(lake, source, slice_, reading, run_id=run_id)


def _commit(lake: Lake, source: Source, slice_: Slice, reading: Reading, *, run_id: str | None) -> Manifest:
    feed, key = source.feed, key_of(source.feed, slice_)
    begin = partial(
        lake.extract,
        key,
        rows_schema(feed, reading.contract),
        contract_hash=reading.contract.hash,
        position_from=slice_.since,
        run_id=run_id,
        origin=slice_.origin,
        reject_columns=feed.reject_columns,
        effective_at=slice_.effective_at,
        snapshot_id=slice_.snapshot.id if slice_.snapshot else None,
        parts=slice_.snapshot.parts if slice_.snapshot else None,
    )
    try:
        with begin() as writer:
            for chunk in reading.chunks():
                if chunk.rows.num_rows:
                    writer.write(chunk.rows)
                if chunk.rejects is not None and chunk.rejects.num_rows:
                    writer.reject(chunk.rejects)
            if not source.redelivers:
                lake.mark_unloaded(key)
            return writer.commit(position_to=reading.position())
    except Refused as refused:
        if not source.redelivers:
            raise
        with begin() as writer:
            for rejects in refused.rejects:
                writer.reject(rejects)
            return writer.commit(position_to=reading.position(), refused=str(refused))
