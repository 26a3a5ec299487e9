"""The keys of a feed's assets, and what its assets say of it to sensors."""

from __future__ import annotations

import dagster as dg

from data_platform.feeds.spec import FeedSpec

FEED_METADATA = "data_platform/feed"
"""The metadata of a file feed's table that holds its spec as JSON."""
KIND_TAG = "data_platform/source_kind"
"""The tag of a feed's assets that says of which kind its source is."""


def inbound_key(feed: FeedSpec) -> dg.AssetKey:
    """The partner's folder, where lineage begins."""
    return dg.AssetKey(["inbound", feed.source])


def lake_key(feed: FeedSpec) -> dg.AssetKey:
    """The feed's extracts."""
    return dg.AssetKey(["lake", feed.source, feed.table])


def raw_key(feed: FeedSpec) -> dg.AssetKey:
    """The feed's table."""
    return dg.AssetKey(["raw", feed.source, feed.table])
