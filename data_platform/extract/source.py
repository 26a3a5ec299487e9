"""What a source is to the engine: it plans slices, opens each for reading, and learns when they are accounted for.

A source object is of one feed and one run. docs/add-a-source.md writes one.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from math import inf
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeAlias

from data_platform.contract import Contract
from data_platform.feeds.spec import FeedSpec
from data_platform.lake.manifest import Manifest
from data_platform.warehouse.policy import LoadOnce, Policy

if TYPE_CHECKING:
    import pyarrow as pa  # 0.14 s, which loading definitions doesn't need


Position: TypeAlias = Mapping[str, Any]
"""Where in its source an extract ends, as a JSON object: a watermark, a message's id, a version of a file."""


class SliceGone(Exception):
    """The source no longer has the slice: another run has dealt with it."""


class SliceLeft(Exception):
    """The slice is left to another run, as others wait for this one."""


OPERATOR = " Operator: "
"""Begins the part of a reason that is not for whoever sent the data: what the feed would have to declare instead."""


class Refused(Exception):
    """The slice as a whole breaks its feed's rules. The message says why and what to do. Nothing is committed, and the
    feed fails; but of a source that redelivers, the extract is committed with `rejects` (REJECTS_SCHEMA) and without
    rows, for the source's policy to decide what becomes of it."""

    def __init__(self, reason: str, rejects: Iterable[pa.RecordBatch] = ()) -> None:
        super().__init__(reason)
        self.rejects = tuple(rejects)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Slices that belong together, and are loaded together or not at all. `parts`: how many they are."""

    id: str
    parts: int


@dataclass(frozen=True, slots=True)
class File:
    """The file that a slice is. `size` in bytes; `version`: what its source opens it by, which can be pickled."""

    name: str
    size: int
    version: Any


@dataclass(frozen=True, slots=True)
class Slice:
    """What one extract is to hold, planned before it is read.

    `extract_id` follows from what is read (`extract_id_of`), so that a retry finds the work of an earlier try.
    `effective_at`: when the data is true in its source; in load mode `merge` a later one's rows win. `since` and
    `until`: positions. `origin`: what else the manifest is to say of it, as JSON. `file`: set where somebody else made
    what is read: a worker process reads it, with limits, and only it fails if its reader does.
    """

    extract_id: str
    effective_at: datetime
    partition: str | None = None
    since: Position | None = None
    until: Position | None = None
    snapshot: Snapshot | None = None
    origin: Mapping[str, Any] = field(default_factory=dict)
    file: File | None = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive records of a slice: the good ones in `rows`, of the contract's columns and the feed's
    `metadata_columns`; the others in `rejects` (REJECTS_SCHEMA), one row each."""

    rows: pa.RecordBatch
    rejects: pa.RecordBatch | None = None


class Reading(Protocol):
    """One slice, opened for reading once."""

    @property
    def contract(self) -> Contract:
        """The contract as found: with the columns that drift added."""

    def chunks(self) -> Iterator[Chunk]:
        """The records, in order. Raises Refused."""

    def position(self) -> Position:
        """Where in the source the slice ended. Asked for after the last chunk, or after Refused."""


class Source(ABC):
    """A feed's source. Its methods may be called from several threads. One whose slices are files is pickled for the
    worker process that opens them, and overrides `unread`."""

    redelivers: ClassVar[bool] = False
    """Whether it plans again what isn't settled. If not, the lake remembers extracts that aren't loaded yet."""

    gives_way_at: float = inf
    """The time (of time.monotonic) from which a file that isn't read yet is left to another run."""

    def __init__(self, feed: FeedSpec) -> None:
        self.feed = feed

    @abstractmethod
    def plan(self, *, since: Position | None, partition: str | None, unfinished: Sequence[Manifest]) -> Iterable[Slice]:
        """The slices to read now, in the order in which their data became true. `since`: the position of the last
        extract; None if there is none. `unfinished`: the parts of a snapshot that an earlier run didn't complete; a
        source that can resume it plans the same slices again, and those that are done aren't read."""

    @abstractmethod
    def open(self, slice_: Slice) -> AbstractContextManager[Reading]:
        """Begins to read a slice. Raises SliceGone."""

    def unread(self, slice_: Slice, reason: str) -> Reading:
        """A file that can't be read, for a reason that its reading doesn't know: its chunks raise Refused."""
        raise NotImplementedError(f"{type(self).__name__} reads no files")

    def policy(self, manifests: Sequence[Manifest], *, reload: bool) -> Policy:
        """What the load of these extracts decides and records."""
        return LoadOnce(self.feed.load_mode, manifests, reload=reload)

    def settle(self) -> None:  # noqa: B027 - most sources have nobody to tell
        """Tells the source what became of its slices, after Dagster was told. May be called again after a failure."""

    def problems(self) -> list[str]:
        """What the run's log is to warn of."""
        return []

    def catalog_changes(self) -> list[str]:
        """In what the source's catalog differs from the contract, in sentences; of feeds with `has_catalog`. Raises an
        error of the source if the catalog can't be read."""
        raise NotImplementedError(f"{type(self).__name__} has no catalog")

    def metadata(self) -> dict[str, Any]:
        """What the table's materialization says of this source's own accounts."""
        return {}


def extract_id_of(*what: object) -> str:
    """32 hex digits, the same for the same values."""
    return hashlib.sha256("\0".join(str(each) for each in what).encode()).hexdigest()[:32]
