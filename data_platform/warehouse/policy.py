"""What a load decides within its transaction: which extracts to load, and whose rows to delete.

`LoadOnce` is the policy of most sources. A source with accounts of its own (landing) brings its own policy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from data_platform.feeds.spec import LoadMode
from data_platform.lake.manifest import Manifest
from data_platform.warehouse import load_rules

if TYPE_CHECKING:
    from snowflake.connector.cursor import SnowflakeCursor


@dataclass(slots=True)
class Decision:
    """`load`: the extracts to load, in order. `remove`: the ids of those whose rows are deleted. `kept`: those of the
    given ones whose rows are in the table already, and stay. `rejects`: further extracts of which only the rejects are
    loaded. `again`: the ids of those whose rejects may have been loaded before."""

    load: list[Manifest] = field(default_factory=list)
    remove: set[str] = field(default_factory=set)
    kept: list[Manifest] = field(default_factory=list)
    rejects: list[Manifest] = field(default_factory=list)
    again: set[str] = field(default_factory=set)


class Policy(Protocol):
    """One load's decisions. `load.py` calls `decide` after it has locked the feed, and `record` before it commits."""

    def decide(self, cursor: SnowflakeCursor, known: Mapping[str, int]) -> Decision:
        """The decision. `known`: {extract id: sequence} of the given extracts that are loaded already."""

    def record(self, cursor: SnowflakeCursor) -> None:
        """Writes the source's own accounts of the decision."""


class LoadOnce:
    """Loads each extract once; with `reload`, again. `replace` loads only the last snapshot of each partition; an
    extract that is no part of one is a snapshot of its own."""

    def __init__(self, mode: LoadMode, manifests: Sequence[Manifest], *, reload: bool = False) -> None:
        self._mode = mode
        self._manifests = manifests
        self._reload = reload

    def decide(self, cursor: SnowflakeCursor, known: Mapping[str, int]) -> Decision:
        """The extracts that aren't loaded yet. Raises LoadRefused for a part of an incomplete snapshot."""
        load_rules.complete(self._manifests)
        wanted = self._manifests
        if self._mode == "replace":
            last = {each.partition: each.snapshot_id or each.extract_id for each in wanted}
            wanted = [each for each in wanted if (each.snapshot_id or each.extract_id) == last[each.partition]]
        load = [each for each in wanted if self._reload or each.extract_id not in known]
        again = {each.extract_id for each in load} & known.keys()
        return Decision(load=load, remove=again, kept=[each for each in wanted if each not in load], again=again)

    def record(self, cursor: SnowflakeCursor) -> None:
        """Nothing: LOADS says it all."""


class InPlaceOfAll:
    """These extracts are all that the table is to hold: its source was read from the beginning."""

    def __init__(self, manifests: Sequence[Manifest]) -> None:
        self._manifests = manifests

    def decide(self, cursor: SnowflakeCursor, known: Mapping[str, int]) -> Decision:
        """`known` are those in the table."""
        ids = {each.extract_id for each in self._manifests}
        return Decision(load=list(self._manifests), remove=known.keys() - ids)

    def record(self, cursor: SnowflakeCursor) -> None:
        """Nothing: LOADS says it all."""
