"""A feed gets another name, or goes: its records in the ledger, its table, and the files that the landing bucket has of
it. Every function may be cut off, and called again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from data_platform.landing import ledger
from data_platform.landing.bucket import LandingBucket, Pending
from data_platform.landing.outcomes import DeliveryRow
from data_platform.landing.settle import archive, companion_key, settled_key
from data_platform.warehouse import platform
from data_platform.warehouse.ledger import record_table_removed
from data_platform.warehouse.load_lock import take_lock
from data_platform.warehouse.retired import became, retire, revive
from data_platform.warehouse.table import TableRef
from data_platform.warehouse.transaction import transaction

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection
    from snowflake.connector.cursor import SnowflakeCursor

    from data_platform.lake.extracts import Lake
    from data_platform.landing.delivery import Delivery

ROOMS = ("archive", "quarantine")
_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Records:
    """How many records the ledger has of a feed. `in_use`: loads and deliveries whose rows are in its table. `retired`:
    whether its name is; `became`: its new one."""

    loads: int
    deliveries: int
    rejects: int
    in_use: int
    retired: bool
    became: str | None


def records(connection: SnowflakeConnection, database: str, source: str, table: str) -> Records:
    """What the ledger has of the feed."""
    of = [source, table]
    with connection.cursor() as cursor:
        loads = _count(cursor, platform.loads(database), "SOURCE = %s AND TABLE_NAME = %s", of)
        deliveries = _count(cursor, ledger.deliveries(database), "PARTNER = %s AND FEED = %s", of)
        rejects = _count(cursor, platform.rejects(database), "SOURCE = %s AND TABLE_NAME = %s", of)
        where = "SOURCE = %s AND TABLE_NAME = %s AND REMOVED_AT IS NULL"
        in_use = _count(cursor, platform.current_loads(database), where, of)
        where = "PARTNER = %s AND FEED = %s AND STATUS IN ('loaded', 'duplicate')"
        in_use += _count(cursor, ledger.current_deliveries(database), where, of)
        retired = became(cursor, database, source, table)
    return Records(loads, deliveries, rejects, in_use, bool(retired), retired[0] if retired else None)


def rename_records(connection: SnowflakeConnection, database: str, source: str, table: str, to: str) -> None:
    """Gives all the feed's records its new name, in one transaction, and retires the old one. Loads of the feed wait
    meanwhile, and those of code that still has the old name are refused from then on."""
    with _alone(connection, database, source, table) as cursor:
        for of, columns in (
            (platform.loads(database), ("SOURCE", "TABLE_NAME")),
            (platform.rejects(database), ("SOURCE", "TABLE_NAME")),
            (platform.table_rows(database), ("SOURCE", "TABLE_NAME")),
            (ledger.deliveries(database), ("PARTNER", "FEED")),
        ):
            cursor.execute(
                f"UPDATE {of.sql} SET {columns[1]} = %s WHERE {columns[0]} = %s AND {columns[1]} = %s",
                [to, source, table],
            )
        revive(cursor, database, [(source, to)])
        retire(cursor, database, source, table, to)


def take_out_records(connection: SnowflakeConnection, database: str, source: str, table: str) -> None:
    """Records, in one transaction, that the rows of all the feed's loads and deliveries were taken out, deletes its
    rejects, and retires its name: loads of code that still has it are refused from then on."""
    with _alone(connection, database, source, table) as cursor:
        record_table_removed(cursor, database, source, table)
        ledger.record_feed_removed(cursor, database, source, table)
        retire(cursor, database, source, table, None)


@contextmanager
def _alone(connection: SnowflakeConnection, database: str, source: str, table: str) -> Iterator[SnowflakeCursor]:
    """A transaction that holds the feed's lock."""
    with connection.cursor() as cursor, transaction(cursor, None) as run:
        take_lock(run.execute, platform.load_lock(database, source, table), f"change of {source}/{table}")
        yield cursor


def _count(cursor: SnowflakeCursor, of: TableRef, where: str, bound: Collection[str]) -> int:
    cursor.execute(f"SELECT COUNT(*) FROM {of.sql} WHERE {where}", list(bound))
    ((number,),) = cursor.fetchall()
    return int(number)


def files(bucket: LandingBucket, partner: str, feed: str) -> list[Pending]:
    """The feed's files in the archive and in quarantine."""
    return [each for room in ROOMS for page in bucket.pages(prefix=f"{room}/{partner}/{feed}/") for each in page]


def copy_files(
    bucket: LandingBucket,
    connection: SnowflakeConnection,
    database: str,
    partner: str,
    feed: str,
    to: str,
    *,
    delete: bool = False,
) -> None:
    """Copies the feed's files for its new name, within the bucket. `delete`: deletes each that has its copy."""
    listed = files(bucket, partner, feed)
    ids = sorted({_delivery_id(each.key) for each in listed})
    with connection.cursor() as cursor:
        rows = ledger.settled_deliveries(cursor, database, ids)

    def copy(pending: Pending) -> None:
        current, key = bucket.current(pending.key), _renamed(pending.key, feed, to, rows)
        if current is not None and not bucket.exists(key):
            bucket.copy(current, key)
        if delete and current is not None:
            bucket.delete(current)

    _each(copy, listed)


def delete_files(bucket: LandingBucket, partner: str, feed: str) -> None:
    """Deletes the feed's files from the archive and from quarantine. The bucket keeps deleted versions for as long as
    its lifecycle rules say."""
    found: list[Delivery] = []
    _each(lambda each: found.extend(filter(None, [bucket.current(each.key)])), files(bucket, partner, feed))
    bucket.delete(*found)


def quarantine(
    connection: SnowflakeConnection,
    database: str,
    bucket: LandingBucket,
    lake: Lake,
    pending: Mapping[str, Collection[str]],
    *,
    feed: str,
    reason: str,
    time_zone: str,
) -> None:
    """Settles pending files of which nobody takes care any more: each version gets a record and a receipt, moves to
    quarantine and leaves inbound. `pending`: {key: those of the files that accompany it}.
    `time_zone`: the partner's."""
    for key, companions in pending.items():
        current = bucket.current(key)
        if current is None:
            continue
        versions = [*bucket.older_versions(current), current]
        with connection.cursor() as cursor:
            known = ledger.settled_deliveries(cursor, database, [each.id for each in versions])
            new = [_quarantined(each, feed, reason) for each in versions if each.id not in known]
            ledger.write_deliveries(cursor, database, new)
        rows = {**known, **{row.delivery_id: row for row in new}}
        gone: list[Delivery] = []
        beside = [found for companion in companions if (found := bucket.current(companion)) is not None]
        for each in versions:
            gone += archive(rows[each.id], bucket, lake, time_zone)
        for companion in beside:
            bucket.copy(companion, companion_key(rows[current.id], companion))
        bucket.delete(*gone, *beside)


def _quarantined(delivery: Delivery, feed: str, reason: str) -> DeliveryRow:
    return DeliveryRow(
        delivery_id=delivery.id,
        partner=delivery.partner,
        feed=feed,
        file_name=delivery.file_name,
        object_key=delivery.key,
        version_id=delivery.version_id,
        etag=delivery.etag,
        size_bytes=delivery.size,
        content_sha256=None,
        landed_at=delivery.landed_at,
        partition=None,
        status="quarantined",
        reason=reason,
        rows_read=0,
        rows_loaded=0,
        rows_rejected=0,
        extract_id=None,
        superseded_by=None,
        run_id=None,
        settled_at=datetime.now(UTC),
    )


def _delivery_id(key: str) -> str:
    return key.split("/", 4)[3]


def _renamed(key: str, feed: str, to: str, rows: Mapping[str, DeliveryRow]) -> str:
    """The key of a file under the feed's new name. A delivery's own file is where `settled_key` looks for it: a long
    name may be cut elsewhere."""
    room, partner, _, delivery_id, name = key.split("/", 4)
    row = rows.get(delivery_id)
    if row is not None and settled_key(replace(row, feed=feed)) == key:
        return settled_key(replace(row, feed=to))
    return f"{room}/{partner}/{to}/{delivery_id}/{name}"


def _each(work: Callable[[Pending], Any], listed: Collection[Pending]) -> None:
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="file") as pool:
        for _ in pool.map(work, listed):
            pass
