"""The check `match_rate` of a geocoded table: how many addresses have one place, and why the others have none."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import dagster as dg

from data_platform.feeds.geocoded import GeocodedSpec
from data_platform.warehouse.table import TableRef

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

MATCH_RATE = "match_rate"
_MISSES_SHOWN = 10


def match_rate_spec(feed: GeocodedSpec, table: dg.AssetKey) -> dg.AssetCheckSpec:
    """The check's spec. It doesn't block: models show which rows have no place."""
    return dg.AssetCheckSpec(
        MATCH_RATE,
        asset=table,
        description=f"At least {feed.minimum_match_rate:.0%} of the addresses have one place. Addresses that weren't"
        " asked for yet don't count.",
    )


def match_rate_result(
    feed: GeocodedSpec, connection: SnowflakeConnection, table: dg.AssetKey, target: TableRef
) -> dg.AssetCheckResult:
    """Counts the table's addresses by status."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT STATUS, COALESCE(REASON, ''), COUNT(*) FROM {target.sql} GROUP BY 1, 2 ORDER BY 3 DESC")
        found = [(str(status), str(reason), int(rows)) for status, reason, rows in cursor.fetchall()]
        misses = {} if feed.contract.personal else _misses(cursor, target)
    counts: Counter[str] = Counter()
    for status, _, rows in found:
        counts[status] += rows
    answered = sum(counts.values()) - counts["not_asked"]
    rate = counts["matched"] / answered if answered else 1.0
    passed = rate >= feed.minimum_match_rate
    failure = (
        f"{feed.name}: {rate:.1%} of {answered:,} addresses have one place, expected {feed.minimum_match_rate:.0%}; the"
        " table's column reason says why the others have none"
    )
    reasons = [dg.TableRecord({"status": s, "reason": r, "addresses": n}) for s, r, n in found if s != "matched"]
    return dg.AssetCheckResult(
        passed=passed,
        check_name=MATCH_RATE,
        asset_key=table,
        severity=dg.AssetCheckSeverity.ERROR,
        description=None if passed else failure,
        metadata={
            "match rate": round(rate, 4),
            **counts,
            **({"reasons": dg.MetadataValue.table(reasons)} if reasons else {}),
            **misses,
        },
    )


def _misses(cursor: Any, target: TableRef) -> dict[str, Any]:
    """Some addresses without a place."""
    cursor.execute(
        f"SELECT ADDRESS, STATUS, REASON FROM {target.sql} WHERE STATUS NOT IN ('matched', 'not_asked')"
        f" ORDER BY STATUS, ADDRESS LIMIT {_MISSES_SHOWN}"
    )
    rows = [dg.TableRecord(dict(zip(("address", "status", "reason"), row, strict=True))) for row in cursor.fetchall()]
    return {"misses": dg.MetadataValue.table(rows)} if rows else {}
