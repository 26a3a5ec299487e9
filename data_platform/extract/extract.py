"""Reads one slice of a source into one committed extract."""

from __future__ import annotations

from functools import partial

import pyarrow as pa

from data_platform.contract import Contract
from data_platform.extract.source import Refused, Slice, Source
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


def extract(lake: Lake, feed: FeedSpec, source: Source, slice_: Slice, *, run_id: str | None) -> Manifest:
    """Reads a slice and commits its extract, with the position that it ends at; reads nothing if an earlier try has
    committed it. Memory holds some chunks, never the slice.

    Raises SliceGone, Refused, and the errors of the source and of storage; nothing is committed then.
    """
    key = key_of(feed, slice_)
    committed = lake.read_manifest(key)
    if committed is not None:
        return committed
    with source.open(slice_) as reading:
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
