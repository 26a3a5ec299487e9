"""The check `deliveries` of a file feed: accounts for the files that the run landed, and warns of small ones and of all
that are in quarantine, whichever run put them there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from statistics import median
from typing import TYPE_CHECKING

import dagster as dg

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

    from data_platform.landing.source import DeliverySource

DELIVERIES = "deliveries"
RECENT = timedelta(days=30)
"""For how long an unresolved file in quarantine keeps the check at WARN."""
_NAMED = 10
_LONGEST_REASON = 300
_ENOUGH_TO_COMPARE = 5


def delivery_check_spec(table: dg.AssetKey) -> dg.AssetCheckSpec:
    """The check's spec."""
    return dg.AssetCheckSpec(
        DELIVERIES,
        asset=table,
        description="Landed = loaded + duplicate + superseded + quarantined; rows read = loaded + rejects;"
        f" no file of the last {RECENT.days} days is in quarantine, no delivery is unusually small. Replaying a file,"
        " or receiving one with its name, resolves its quarantine.",
    )


def delivery_check_result(
    source: DeliverySource, connection: SnowflakeConnection, table: dg.AssetKey
) -> dg.AssetCheckResult:
    """Evaluates the check after deliveries were loaded."""
    quarantined = source.unresolved(connection, datetime.now(UTC) - RECENT)
    unaccounted = [
        receipt.file_name
        for receipt in source.receipts
        if receipt.status == "loaded" and receipt.rows_read != receipt.rows_loaded + receipt.rows_rejected
    ]
    problems = [f"the rows of {name} don't add up" for name in unaccounted]
    if sum(source.outcomes.values()) != len(source.receipts):
        problems.append(f"{len(source.receipts)} files landed, but the outcomes are {source.outcomes}")
    problems += [f"{row.file_name} is quarantined: {_short(row.reason or '')}" for row in quarantined[:_NAMED]]
    if len(quarantined) > _NAMED:
        problems.append(f"{len(quarantined) - _NAMED} more files are quarantined")
    small = _small(source)
    problems += [f"{name} has {rows} rows, {usual:g} are usual" for name, (rows, usual) in small.items()]
    return dg.AssetCheckResult(
        passed=not problems,
        check_name=DELIVERIES,
        asset_key=table,
        severity=dg.AssetCheckSeverity.ERROR if unaccounted else dg.AssetCheckSeverity.WARN,
        description="; ".join(problems) or None,
        metadata={
            "landed": len(source.receipts),
            **source.outcomes,
            "still quarantined": len(quarantined),
            "unusually small": len(small),
        },
    )


def _short(reason: str) -> str:
    return reason if len(reason) <= _LONGEST_REASON else f"{reason[:_LONGEST_REASON]}…"


def _small(source: DeliverySource) -> dict[str, tuple[int, float]]:
    """Loaded deliveries smaller than `min_volume` times the feed's usual size: {file: (rows, usual rows)}."""
    loaded = [receipt for receipt in source.receipts if receipt.status == "loaded"]
    sizes = [*source.usual_rows, *(receipt.rows_read for receipt in loaded)]
    if source.feed.min_volume is None or len(sizes) < _ENOUGH_TO_COMPARE:
        return {}
    usual = median(sizes)
    return {
        receipt.file_name: (receipt.rows_read, usual)
        for receipt in loaded
        if receipt.rows_read < source.feed.min_volume * usual
    }
