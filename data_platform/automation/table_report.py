"""Tells Dagster of a feed's table that a command has made or renamed, without a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg

from data_platform.automation.feed_checks import contract_evaluation
from data_platform.automation.feed_keys import raw_key
from data_platform.warehouse.describe import rows_of
from data_platform.warehouse.table import raw_table

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

    from data_platform.feeds.spec import FeedSpec


def report_table(
    instance: dg.DagsterInstance,
    feed: FeedSpec,
    connection: SnowflakeConnection,
    database: str,
    *,
    partitions: Iterable[str | None],
    metadata: Mapping[str, Any],
) -> None:
    """Reports these partitions of the table as materialized (None: the table as a whole), so that its models follow,
    and then the check `contract` of all its rows: models wait for a checked table."""
    target = raw_table(database, feed.source, feed.table)
    about: dict[str, Any] = {"dagster/row_count": rows_of(connection, target), **metadata}
    for partition in sorted(set(partitions) or {None}, key=str):
        instance.report_runless_asset_event(dg.AssetMaterialization(raw_key(feed), partition=partition, metadata=about))
    instance.report_runless_asset_event(contract_evaluation(feed, connection, target))
