"""The check `deliveries` of a file feed: accounts for landed files, and warns of quarantined and small ones."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

import dagster as dg

if TYPE_CHECKING:
    from data_platform.landing.source import DeliverySource

DELIVERIES = "deliveries"
_ENOUGH_TO_COMPARE = 5


def delivery_check_spec(table: dg.AssetKey) -> dg.AssetCheckSpec:
    """The check's spec."""
    return dg.AssetCheckSpec(
        DELIVERIES,
        asset=table,
        description="Landed = loaded + duplicate + superseded + quarantined; rows read = loaded + rejects;"
        " nothing quarantined, no delivery unusually small.",
    )


def delivery_check_result(source: DeliverySource, table: dg.AssetKey) -> dg.AssetCheckResult:
    """Evaluates the check after deliveries were loaded."""
    unaccounted = [
        receipt.file_name
        for receipt in source.receipts
        if receipt.status == "loaded" and receipt.rows_read != receipt.rows_loaded + receipt.rows_rejected
    ]
    problems = [f"the rows of {name} don't add up" for name in unaccounted]
    if sum(source.outcomes.values()) != len(source.receipts):
        problems.append(f"{len(source.receipts)} files landed, but the outcomes are {source.outcomes}")
    problems += [
        f"{receipt.file_name} is quarantined: {receipt.reason}"
        for receipt in source.receipts
        if receipt.status == "quarantined"
    ]
    small = _small(source)
    problems += [f"{name} has {rows} rows, {usual:g} are usual" for name, (rows, usual) in small.items()]
    return dg.AssetCheckResult(
        passed=not problems,
        check_name=DELIVERIES,
        asset_key=table,
        severity=dg.AssetCheckSeverity.ERROR if unaccounted else dg.AssetCheckSeverity.WARN,
        description="; ".join(problems) or None,
        metadata={"landed": len(source.receipts), **source.outcomes, "unusually small": len(small)},
    )


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
