"""The answers of geocoding services, from the lake, if the ledger has lost them: a service is paid by the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from data_platform.contract import quoted
from data_platform.feeds.geocoded import GeocodedSpec
from data_platform.geocode import cache
from data_platform.geocode.cache import Known
from data_platform.geocode.normal import normalized
from data_platform.geocode.provider import Answer
from data_platform.lake.extracts import Lake
from data_platform.lake.manifest import Manifest
from data_platform.warehouse.platform import geocoded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from snowflake.connector.cursor import SnowflakeCursor


def keep_again(
    cursor: SnowflakeCursor, database: str, feed: GeocodedSpec, lake: Lake, manifests: Sequence[Manifest]
) -> int:
    """Keeps the answers of the feed's last extract that the ledger lacks. Returns their number. An address that was no
    longer in the table when it was made is asked for again if it comes back."""
    if not manifests:
        return 0
    last = max(manifests, key=lambda each: each.effective_at or each.started_at)
    cursor.execute(
        f"SELECT DISTINCT ADDRESS FROM {geocoded(database).sql} WHERE {quoted('PROVIDER')} = %s", [feed.answers_of]
    )
    there = {address for (address,) in cursor.fetchall()}
    found = {
        address: _known(row)
        for row in lake.read_rows(last).to_pylist()
        if row["asked_at"] is not None and (address := normalized(row["address"])) not in there
    }
    cache.keep(cursor, database, feed.answers_of, found, last.run_id)
    return len(found)


def _known(row: dict[str, Any]) -> Known:
    return Known(
        Answer(
            row["status"],
            row["reason"] or "",
            row["matched_address"],
            row["latitude"],
            row["longitude"],
            row["precision"],
        ),
        row["asked_at"],
    )
