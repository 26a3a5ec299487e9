"""The checks on every file feed's table, evaluated after each landing run.

`contract` counts rows that break the contract, and blocks downstream models. `deliveries` accounts for landed files,
and warns of quarantined and unusually small ones. Missing files are the business of `arrivals.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median
from typing import TYPE_CHECKING

import dagster as dg

from data_platform.automation.feed_keys import raw_key
from data_platform.feeds.files import FileFeedSpec

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

    from data_platform.landing.result import IntakeResult

CONTRACT = "contract"
DELIVERIES = "deliveries"
_ENOUGH_TO_COMPARE = 5


def feed_check_specs(rules: FileFeedSpec) -> list[dg.AssetCheckSpec]:
    """The specs of a feed's checks."""
    table = raw_key(rules)
    return [
        dg.AssetCheckSpec(
            CONTRACT,
            asset=table,
            blocking=True,
            description="The table has no null where the contract forbids it, and no two rows with the same key.",
        ),
        dg.AssetCheckSpec(
            DELIVERIES,
            asset=table,
            description="Landed = loaded + duplicate + superseded + quarantined; rows read = loaded + rejects;"
            " nothing quarantined, no delivery unusually small.",
        ),
    ]


def feed_check_keys(rules: FileFeedSpec) -> list[dg.AssetCheckKey]:
    """The keys of a feed's checks."""
    return [dg.AssetCheckKey(raw_key(rules), CONTRACT), dg.AssetCheckKey(raw_key(rules), DELIVERIES)]


def feed_check_results(
    rules: FileFeedSpec, result: IntakeResult, connection: SnowflakeConnection, table: dg.AssetKey
) -> Iterator[dg.AssetCheckResult]:
    """Evaluates a feed's checks after its deliveries were loaded."""
    yield _contract(rules, result, connection, table)
    yield _deliveries(rules, result, table)


def _contract(
    rules: FileFeedSpec, result: IntakeResult, connection: SnowflakeConnection, table: dg.AssetKey
) -> dg.AssetCheckResult:
    cursor = connection.cursor()
    cursor.execute(rules.contract.violation_counts_sql(result.target.sql))
    (row,) = cursor.fetchall()
    counts = dict(zip((column.name for column in cursor.description), row, strict=True))
    checked = counts.pop("ROWS_CHECKED")
    broken = {name.lower(): count for name, count in counts.items() if count}
    return dg.AssetCheckResult(
        passed=not broken,
        check_name=CONTRACT,
        asset_key=table,
        severity=dg.AssetCheckSeverity.ERROR,
        description=f"The table breaks the contract of {rules.name}: {broken}" if broken else None,
        metadata={"rows checked": checked, **broken},
    )


def _deliveries(rules: FileFeedSpec, result: IntakeResult, table: dg.AssetKey) -> dg.AssetCheckResult:
    unaccounted = [
        receipt.file_name
        for receipt in result.receipts
        if receipt.status == "loaded" and receipt.rows_read != receipt.rows_loaded + receipt.rows_rejected
    ]
    problems = [f"the rows of {name} don't add up" for name in unaccounted]
    if sum(result.outcomes.values()) != len(result.receipts):
        problems.append(f"{len(result.receipts)} files landed, but the outcomes are {result.outcomes}")
    problems += [
        f"{receipt.file_name} is quarantined: {receipt.reason}"
        for receipt in result.receipts
        if receipt.status == "quarantined"
    ]
    small = _small(rules, result)
    problems += [f"{name} has {rows} rows, {usual:g} are usual" for name, (rows, usual) in small.items()]
    return dg.AssetCheckResult(
        passed=not problems,
        check_name=DELIVERIES,
        asset_key=table,
        severity=dg.AssetCheckSeverity.ERROR if unaccounted else dg.AssetCheckSeverity.WARN,
        description="; ".join(problems) or None,
        metadata={"landed": len(result.receipts), **result.outcomes, "unusually small": len(small)},
    )


def _small(rules: FileFeedSpec, result: IntakeResult) -> dict[str, tuple[int, float]]:
    """Loaded deliveries smaller than `min_volume` times the feed's usual size: {file: (rows, usual rows)}."""
    loaded = [receipt for receipt in result.receipts if receipt.status == "loaded"]
    sizes = [*result.usual_rows, *(receipt.rows_read for receipt in loaded)]
    if rules.min_volume is None or len(sizes) < _ENOUGH_TO_COMPARE:
        return {}
    usual = median(sizes)
    return {
        receipt.file_name: (receipt.rows_read, usual)
        for receipt in loaded
        if receipt.rows_read < rules.min_volume * usual
    }
