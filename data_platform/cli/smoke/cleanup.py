"""Removes everything that smoke tests have delivered. It knows the partner `smoke` only, so it can't remove other data.

Objects go first and the ledger's records last: what a kill leaves is still found by the next call.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from data_platform.cli.smoke.declaration import FEED, PARTNER
from data_platform.contract import EXTRACT_ID
from data_platform.lake.manifest import ExtractKey
from data_platform.landing.history import list_deliveries
from data_platform.landing.ledger import deliveries
from data_platform.landing.outcomes import DeliveryRow
from data_platform.landing.receipts import folder_of
from data_platform.warehouse import platform
from data_platform.warehouse.load_lock import take_lock
from data_platform.warehouse.rows import delete_rows
from data_platform.warehouse.schema import read_columns
from data_platform.warehouse.table import raw_table
from data_platform.warehouse.transaction import transaction

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

    from data_platform.lake.extracts import Lake
    from data_platform.landing.bucket import LandingBucket

INBOUND = f"inbound/{PARTNER}/"
_AT_ONCE = 1_000


def remove(
    connection: SnowflakeConnection,
    database: str,
    lake: Lake,
    bucket: LandingBucket,
    *,
    name: str | None = None,
    before: datetime | None = None,
) -> int:
    """Removes the file of this name, or those that landed before then, or all. Returns their number."""

    def wanted(file: str, landed_at: datetime) -> bool:
        return name in (None, file) and (before is None or landed_at < before)

    names = {
        pending.file_name
        for page in bucket.pages(prefix=INBOUND)
        for pending in page
        if wanted(pending.file_name, pending.modified)
    }
    _delete(bucket, (f"{INBOUND}{each}" for each in names))  # from here on, no run begins with it
    found = list_deliveries(connection, database, partner=PARTNER, feed=FEED, limit=_AT_ONCE)
    rows = [row for row in found if wanted(row.file_name, row.landed_at)]
    for row in rows:
        _delete_objects(row, lake, bucket)
    if rows:
        _delete_records(connection, database, rows)
    return len(names | {row.file_name for row in rows})


def _delete_objects(row: DeliveryRow, lake: Lake, bucket: LandingBucket) -> None:
    folder = folder_of(row.partner, row.landed_at)
    prefixes = [f"{room}/{PARTNER}/{FEED}/{row.delivery_id}/" for room in ("archive", "quarantine")]
    prefixes.append(f"{folder}{row.file_name}.")
    # A prefix that ends within a name isn't one for obstore: list the folder.
    listed = [
        pending.key
        for prefix in prefixes
        for page in bucket.pages(prefix=f"{prefix.rsplit('/', 1)[0]}/")
        for pending in page
        if pending.key.startswith(prefix)
    ]
    _delete(bucket, listed)
    paths = [f"{folder}{row.delivery_id}.json"]
    if row.extract_id is not None:
        extract = ExtractKey(PARTNER, FEED, row.extract_id, row.partition)
        # The manifest first: without it there is no extract.
        paths += sorted(
            (item.path for item in lake.objects(extract.prefix)), key=lambda path: path != extract.manifest_path
        )
    lake.delete(paths)


def _delete(bucket: LandingBucket, keys: Iterator[str] | Sequence[str]) -> None:
    """Deletes every version of these objects."""
    for key in keys:
        if (current := bucket.current(key)) is not None:
            bucket.delete(*bucket.older_versions(current), current)


def _delete_records(connection: SnowflakeConnection, database: str, rows: Collection[DeliveryRow]) -> None:
    """Deletes the rows and what the ledger says of them, in one transaction: their sums agree at any time."""
    extracts = {row.extract_id for row in rows if row.extract_id is not None}
    table = raw_table(database, PARTNER, FEED)
    has_table = bool(read_columns(connection, table))
    with connection.cursor() as cursor, transaction(cursor, "data-platform smoke") as run:
        take_lock(run.execute, platform.load_lock(database, PARTNER, FEED), "smoke")
        if has_table:
            delete_rows(run.execute, table, EXTRACT_ID, extracts)
        delete_rows(run.execute, platform.rejects(database), "EXTRACT_ID", extracts)
        delete_rows(run.execute, platform.loads(database), "EXTRACT_ID", extracts)
        delete_rows(run.execute, deliveries(database), "DELIVERY_ID", {row.delivery_id for row in rows})
