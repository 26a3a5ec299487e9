"""The keys of a feed's assets, and what its assets say of it to sensors."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TypeVar

import dagster as dg

from data_platform.feeds.spec import FeedSpec

Feed = TypeVar("Feed", bound=FeedSpec)
FEED_METADATA = "data_platform/feed"
"""The metadata of a feed's table that holds its spec as JSON."""
KIND_TAG = "data_platform/source_kind"
"""The tag of a feed's assets that says of which kind its source is."""


FEEDS_A_STEP = 50
"""Dagster's work for each output of a step grows with the square of the step's outputs (seen in 1.13.27)."""


def origin_key(feed: FeedSpec) -> dg.AssetKey:
    """The source itself, where lineage begins."""
    return dg.AssetKey([feed.origin, feed.source])


def lake_key(feed: FeedSpec) -> dg.AssetKey:
    """The feed's extracts."""
    return dg.AssetKey(["lake", feed.source, feed.table])


def raw_key(feed: FeedSpec) -> dg.AssetKey:
    """The feed's table."""
    return dg.AssetKey(["raw", feed.source, feed.table])


def days_of(feed: FeedSpec) -> str:
    """Tells feeds with different partitions definitions apart: Dagster refuses a run of assets whose partitions
    definitions differ. "" for a feed without partitions."""
    return f"{feed.partition.start} {feed.time_zone}" if feed.partition else ""


def step_names(feeds: Iterable[FeedSpec]) -> dict[str, str]:
    """The step of each feed, by `<source>/<table>`. A source's feeds, by name, fill steps of FEEDS_A_STEP feeds:
    `<source>`, `<source>__2` and so on. `feeds` must be all feeds of their sources."""
    by_source: dict[str, list[str]] = defaultdict(list)
    for feed in feeds:
        by_source[feed.source].append(feed.name)
    return {
        feed: source if place < FEEDS_A_STEP else f"{source}__{place // FEEDS_A_STEP + 1}"
        for source, names in by_source.items()
        for place, feed in enumerate(sorted(names))
    }


@lru_cache(maxsize=4)
def feeds_of(repository: dg.RepositoryDefinition, kind: type[Feed]) -> Sequence[Feed]:
    """Every feed of a kind, by name, from the metadata of the raw assets. Parsed once per loaded repository."""
    found = (
        kind.model_validate_json(metadata[FEED_METADATA].text)
        for assets in set(repository.assets_defs_by_key.values())
        for key, metadata in assets.metadata_by_key.items()
        if FEED_METADATA in metadata and assets.tags_by_key[key].get(KIND_TAG) == kind.kind
    )
    return tuple(sorted(found, key=lambda feed: feed.name))
