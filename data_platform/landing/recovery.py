"""Writes a feed's deliveries into a ledger that was lost, or lacks some: from the receipts in the lake; where the lake
lacks one, from the partner's copy in the landing bucket; where both are gone, from the extract's manifest, by the rules
by which a load decides. `warehouse/recovery.py` writes the loads."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import obstore

from data_platform.feeds.files import FileFeedSpec
from data_platform.lake.manifest import Manifest
from data_platform.landing import ledger
from data_platform.landing.bucket import INBOUND, LandingBucket
from data_platform.landing.delivery import Delivery
from data_platform.landing.outcomes import DeliveryRow, decide
from data_platform.landing.policy import dated
from data_platform.landing.receipts import ROOT
from data_platform.landing.source import settlement_of
from data_platform.warehouse.ledger import LoadRow
from data_platform.warehouse.load import load_row
from data_platform.warehouse.recovery import READS_AT_ONCE, FeedInLake, InTable

if TYPE_CHECKING:
    from obstore.store import ObjectStore
    from snowflake.connector.cursor import SnowflakeCursor

_TIMES = ("landed_at", "settled_at")
_ID_SHOWN = 8
"""How many digits of a delivery's id are in the name of a partner's receipt."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a feed's ledger is to say. `decided`: how many of the deliveries have no receipt. `rejects`: the extracts
    whose rejects belong in the ledger."""

    deliveries: Sequence[DeliveryRow]
    loads: Sequence[LoadRow]
    rejects: Sequence[Manifest]
    decided: int


def read_receipts(lake: ObjectStore, landing: LandingBucket, partner: str) -> list[DeliveryRow]:
    """Every receipt of a partner, once. Those in the lake count: a partner's copy lacks what only the operator may
    know."""
    folder = f"{ROOT}{partner}/"
    kept = (str(item["path"]) for page in obstore.list(lake, folder) for item in page)
    found = _rows(kept, lambda path: bytes(obstore.get(lake, path).bytes()))
    known = {each.delivery_id[:_ID_SHOWN] for each in found}
    told = (each.key for page in landing.pages(prefix=folder) for each in page)
    return found + _rows((key for key in told if key[: -len(".json")].rpartition(".")[2] not in known), landing.read)


def _rows(paths: Iterable[str], read: Callable[[str], bytes]) -> list[DeliveryRow]:
    """Of these objects, the receipts; not lists of rejects, nor what is said of files that no feed takes."""
    receipts = [path for path in paths if path.endswith(".json") and not path.endswith(".unmatched.json")]
    with ThreadPoolExecutor(READS_AT_ONCE, thread_name_prefix="receipt") as pool:
        return [_row(content) for content in pool.map(read, receipts)]


def _row(receipt: bytes) -> DeliveryRow:
    values: dict[str, Any] = json.loads(receipt)
    row: dict[str, Any] = {each.name: values.get(each.name) for each in fields(DeliveryRow)}
    return DeliveryRow(**row | {name: datetime.fromisoformat(values[name]) for name in _TIMES})


def recovered(
    feed: FileFeedSpec, receipts: Sequence[DeliveryRow], lake: FeedInLake, table: InTable, pending: Collection[str]
) -> Recovered:
    """What the ledger of a file feed is to say. `receipts`: the feed's. `pending`: the keys in inbound: an extract of
    such a file isn't settled, unless the table has its rows; the next run settles it."""
    rows = {row.delivery_id: row for row in receipts}
    without = [
        each
        for each in lake.manifests
        if each.origin["delivery_id"] not in rows
        and (each.extract_id in table.extracts or _delivery(feed, each).key not in pending)
    ]
    wishes = [
        replace(settlement_of(feed, each, _delivery(feed, each)), delivery_id=str(each.origin["delivery_id"]))
        for each in without
    ]
    now = datetime.now(UTC)
    rows |= decide(wishes, rows.values(), mode=feed.load_mode, run_id=None, now=now).write
    by_id = {each.extract_id: each for each in lake.manifests}
    loads = sorted(_loads(feed, rows, by_id), key=lambda each: each.loaded_at)
    loaded = {each.extract_id for each in loads}
    with_rejects = {row.extract_id for row in rows.values() if row.extract_id in loaded or row.status == "quarantined"}
    rejects = [
        each
        for each in lake.manifests
        if each.extract_id in with_rejects
        and not (each.files and rows[each.origin["delivery_id"]].status == "quarantined")
    ]
    return Recovered(list(rows.values()), loads, rejects, len(without))


def _delivery(feed: FileFeedSpec, manifest: Manifest) -> Delivery:
    """The delivery that an extract is of. The manifest of an earlier release has only the file's name and version: then
    the file is taken to have been in the partner's folder, and to have landed when its data became true."""
    origin = manifest.origin
    landed_at = origin.get("landed_at")
    return Delivery(
        origin.get("object_key", f"{INBOUND}{feed.source}/{origin['file_name']}"),
        origin["version_id"],
        origin.get("etag", ""),
        origin.get("size_bytes", 0),
        datetime.fromisoformat(landed_at) if landed_at else manifest.effective_at or manifest.started_at,
    )


def _loads(feed: FileFeedSpec, rows: Mapping[str, DeliveryRow], by_id: Mapping[str, Manifest]) -> Iterator[LoadRow]:
    """The loads of deliveries that are loaded, or were before others superseded them, or before they were read again
    under another contract."""
    for row in rows.values():
        if row.extract_id is None or not (row.status == "loaded" or (row.status == "superseded" and row.rows_loaded)):
            continue
        removed_at = row.settled_at if row.status == "superseded" else None
        manifest = by_id.get(row.extract_id)
        if manifest is not None:
            true_at = dated(feed, manifest, row.landed_at).effective_at or row.landed_at
            load = load_row(manifest, feed.load_mode, row.run_id, row.settled_at, 0, true_at)
        else:  # the lake has lost it
            load = LoadRow(
                *(row.extract_id, feed.source, feed.table, row.partition, feed.load_mode, row.rows_loaded, 0, 0, None),
                *("", row.run_id, row.settled_at, 0, feed.effective_at(row.partition, row.landed_at)),
            )
        yield load._replace(removed_at=removed_at)
    for each in by_id.values():
        row = rows.get(each.origin["delivery_id"])  # type: ignore[assignment]
        if row is not None and row.extract_id != each.extract_id and row.status != "quarantined" and not each.refused:
            load = load_row(each, feed.load_mode, each.run_id, each.committed_at, 0, row.landed_at)
            yield load._replace(removed_at=max(row.settled_at, each.committed_at))


def missing_deliveries(
    cursor: SnowflakeCursor, database: str, feed: FileFeedSpec, found: Sequence[DeliveryRow]
) -> list[DeliveryRow]:
    """Those of the outcomes that the ledger lacks, or of which it has an earlier one."""
    there = ledger.settled_deliveries(cursor, database, [row.delivery_id for row in found])
    return [row for row in found if row.delivery_id not in there or there[row.delivery_id].settled_at < row.settled_at]
