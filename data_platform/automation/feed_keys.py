"""The keys of a feed's assets, and what its assets say of it to sensors."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import TypeVar

import dagster as dg

from data_platform.feeds.spec import FeedSpec
from data_platform.feeds.tables import TableSpec

Feed = TypeVar("Feed", bound=FeedSpec)
FEEDS_A_STEP = 50
"""Dagster's work for each output of a step grows with the square of the step's outputs (seen in 1.13.27)."""


def feed_metadata(kind: str) -> str:
    """The metadata of a feed's table that holds its spec as JSON, for a kind of source."""
    return f"data_platform/{kind}_feed"


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
    label = feed_metadata(kind.kind)
    found = (
        kind.model_validate_json(metadata[label].text)
        for assets in set(repository.assets_defs_by_key.values())
        for metadata in assets.metadata_by_key.values()
        if label in metadata
    )
    return tuple(sorted(found, key=lambda feed: feed.name))


def assets_of(definitions: dg.Definitions, *kinds: type[FeedSpec]) -> dg.AssetSelection:
    """All assets of the feeds of these kinds, as the groups of their sources: Dagster shows a selection by groups as it
    is, and any other as a list of keys."""
    return dg.AssetSelection.groups(*sorted({source for source, *_ in _tables(definitions, *kinds)}))


def scheduled(definitions: dg.Definitions, *kinds: type[TableSpec]) -> dict[tuple[str, str | None], list[dg.AssetKey]]:
    """{(source, its schedule or None): the keys of its tables and their extracts} of these kinds."""
    found: dict[tuple[str, str | None], list[dg.AssetKey]] = defaultdict(list)
    for source, key, spec in _tables(definitions, *kinds):
        found[source, json.loads(spec)["schedule"]] += [dg.AssetKey(["lake", *key.path[1:]]), key]
    return found


def _tables(definitions: dg.Definitions, *kinds: type[FeedSpec]) -> Iterator[tuple[str, dg.AssetKey, str]]:
    """The source, the key and the spec of each feed's table."""
    labels = {feed_metadata(kind.kind) for kind in kinds}
    return (
        (assets.group_names_by_key[key], key, metadata[label].text)
        for assets in definitions.assets or ()
        if isinstance(assets, dg.AssetsDefinition)
        for key, metadata in assets.metadata_by_key.items()
        for label in labels & metadata.keys()
    )
