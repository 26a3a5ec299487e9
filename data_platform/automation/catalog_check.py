"""The check `catalog`: whether a table's contract is what its source's catalog says. It warns, and blocks nothing: what
a read can't cope with fails the read. The catalog is read once for each source and run, and no row of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

if TYPE_CHECKING:
    from data_platform.extract.source import Source

CATALOG = "catalog"


def catalog_check_spec(table: dg.AssetKey) -> dg.AssetCheckSpec:
    """The check of a table."""
    return dg.AssetCheckSpec(
        CATALOG,
        asset=table,
        description="The source's catalog has the columns, types and key of the contract. If this warns, it names what"
        " has changed, and `data-platform discover` shows the lines to change.",
    )


def catalog_check_result(source: Source, table: dg.AssetKey) -> dg.AssetCheckResult:
    """Compares the contract with the catalog."""
    feed = source.feed
    try:
        found = source.catalog_changes()
        told = (
            f"{'; '.join(found)}. `data-platform discover {feed.source}` shows the lines to change" if found else None
        )
    except Exception as error:  # a run that reads the source fails of it; one that loads extracts again needs no source
        found, told = [], f"Not compared, as the catalog can't be read: {error}"
    return dg.AssetCheckResult(
        passed=not found,
        check_name=CATALOG,
        asset_key=table,
        severity=dg.AssetCheckSeverity.WARN,
        description=told,
        metadata={"changes": len(found)},
    )
