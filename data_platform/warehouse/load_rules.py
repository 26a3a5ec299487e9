"""The rules for extracts that are loaded together. `load.py` checks them before it writes anything."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from data_platform.feeds.spec import FeedSpec
from data_platform.lake.manifest import ExtractKey, Manifest
from data_platform.warehouse.ledger import InTable

if TYPE_CHECKING:
    from data_platform.lake.extracts import Lake


class LoadRefused(Exception):
    """The extracts break a rule. The message says which extract, why, and what to do."""


def of_one_feed(feed: FeedSpec, manifests: Sequence[Manifest]) -> None:
    """Raises LoadRefused if an extract isn't the feed's, or is given twice."""
    ids = [manifest.extract_id for manifest in manifests]
    if len(set(ids)) < len(ids):
        raise LoadRefused(f"{feed.name}: an extract is given twice; give each manifest once")
    others = {f"{each.source}/{each.table}" for each in manifests} - {feed.name}
    if others:
        raise LoadRefused(f"{feed.name}: extracts of {', '.join(sorted(others))}; load each feed by itself")


def require_manifest(lake: Lake, key: ExtractKey) -> Manifest:
    """The manifest of an extract whose rows have to be loaded once more. Raises LoadRefused if the lake has lost it."""
    manifest = lake.read_manifest(key)
    if manifest is None:
        raise LoadRefused(
            f"{key.source}/{key.table}: the lake no longer has extract {key.extract_id}, whose rows have to be loaded"
            " once more; send or read its data again"
        )
    return manifest


def complete(manifests: Sequence[Manifest]) -> None:
    """Raises LoadRefused if parts of a snapshot are missing."""
    given = Counter(manifest.snapshot_id for manifest in manifests)
    for manifest in manifests:
        if manifest.snapshot_id is not None and manifest.parts != given[manifest.snapshot_id]:
            raise LoadRefused(
                f"{manifest.source}/{manifest.table}: {given[manifest.snapshot_id]} of the {manifest.parts} parts of"
                f" snapshot {manifest.snapshot_id}; a snapshot is loaded when it is complete"
            )


def not_outdated(manifests: Sequence[Manifest], there: Mapping[str, InTable]) -> list[Manifest]:
    """Load mode `replace`: the extracts, without those that are older than what the table has of their partition. A run
    that took longer than a later one must not bring back what that one replaced."""
    latest: dict[str | None, datetime] = {}
    for partition, effective_at, _ in there.values():
        if effective_at is not None:
            latest[partition] = max(effective_at, latest.get(partition, effective_at))
    return [
        each
        for each in manifests
        if each.partition not in latest or (each.effective_at or each.started_at) >= latest[each.partition]
    ]


def same_mode(feed: FeedSpec, there: Mapping[str, InTable]) -> None:
    """Raises LoadRefused if a table that is to hold versions holds rows of another load mode, which have no times."""
    others = sorted({found.load_mode for found in there.values()} - {"history"})
    if others:
        raise LoadRefused(
            f"{feed.name}: the rows of its table were loaded with load_mode {', '.join(others)}, and have no versions;"
            f" run `data-platform feed re-extract {feed.name}`, which makes the table anew with load_mode history"
        )


def same_types(feed: FeedSpec, manifests: Sequence[Manifest]) -> None:
    """Raises LoadRefused if an extract's column neither has the contract's type nor widens to it: COPY would cast it,
    and a cast may round. COPY loads NULL for a column that the extract lacks, and ignores a column that the contract
    lacks."""
    types = {
        name: str(column.arrow_type) for column in feed.table_columns for name in (column.name, *column.renamed_from)
    }
    for manifest in manifests:
        for column in manifest.columns:
            expected = types.get(column.name, column.type)
            if column.type != expected and not holds(expected, column.type):
                raise LoadRefused(
                    f"{feed.name}: extract {manifest.extract_id} has {column.name} as {column.type}, but the"
                    f" contract says {expected} now; run `data-platform feed re-extract {feed.name}`, which reads the"
                    " feed's data again under the new contract"
                )


_INTEGERS = ("int8", "int16", "int32", "int64")
_DECIMAL = re.compile(r"decimal128\((\d+), (\d+)\)")


def holds(wide: str, narrow: str) -> bool:
    """Whether one Arrow type holds every value of the other exactly. `schema.py` widens tables for the same changes."""
    if wide in _INTEGERS and narrow in _INTEGERS:
        return _INTEGERS.index(wide) >= _INTEGERS.index(narrow)
    left, right = _DECIMAL.match(wide), _DECIMAL.match(narrow)
    return bool(left and right and left[2] == right[2] and int(left[1]) >= int(right[1]))
