"""What a load decides within its transaction: which extracts to load, and whose rows to delete.

`LoadOnce` is the policy of most sources. A source with accounts of its own (landing) brings its own policy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from data_platform.feeds.spec import LoadMode
from data_platform.lake.manifest import Manifest

if TYPE_CHECKING:
    from snowflake.connector.cursor import SnowflakeCursor


@dataclass(slots=True)
class Decision:
    """`load`: the extract ids to load, in order. `remove`: those whose rows are deleted. `rejects`: further extracts of
    which only the rejects are loaded. `again`: those whose rejects may have been loaded before, and are replaced.
    `effective_at`: when the data of each loaded extract was true in its source; of an extract that isn't named, when it
    was begun. In load mode `merge`, a later one's rows stay."""

    load: list[str] = field(default_factory=list)
    remove: set[str] = field(default_factory=set)
    rejects: list[str] = field(default_factory=list)
    again: set[str] = field(default_factory=set)
    effective_at: Mapping[str, datetime] = field(default_factory=dict)


class Policy(Protocol):
    """One load's decisions. `load.py` calls `decide` after it has locked the feed, and `record` before it commits."""

    def decide(self, cursor: SnowflakeCursor, known: Mapping[str, int]) -> Decision:
        """The decision. `known`: {extract id: sequence} of the given extracts that are loaded already."""

    def record(self, cursor: SnowflakeCursor) -> None:
        """Writes the source's own accounts of the decision."""


class LoadOnce:
    """Loads each extract once; with `reload`, again. `replace` loads only the last of several extracts of one
    partition."""

    def __init__(self, mode: LoadMode, manifests: Sequence[Manifest], *, reload: bool = False) -> None:
        self._mode = mode
        self._manifests = manifests
        self._reload = reload

    def decide(self, cursor: SnowflakeCursor, known: Mapping[str, int]) -> Decision:
        """The extracts that aren't loaded yet."""
        wanted = [each for each in self._manifests if self._reload or each.extract_id not in known]
        if self._mode == "replace":
            wanted = list({manifest.partition: manifest for manifest in wanted}.values())
        ids = [manifest.extract_id for manifest in wanted]
        return Decision(load=ids, remove=set(ids) & known.keys(), again=set(ids) & known.keys())

    def record(self, cursor: SnowflakeCursor) -> None:
        """Nothing: LOADS says it all."""
