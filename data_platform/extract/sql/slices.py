"""What one run reads of a table: all of it or a window, in one piece or in parts that several connections read, and its
keys. Parts and keys are of one state of the database, which the session that planned them exports."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

from data_platform.extract.source import Position, Slice, Snapshot, extract_id_of
from data_platform.extract.sql.watermark import Window
from data_platform.feeds.databases import SqlTableSpec
from data_platform.feeds.spec import RejectLimit
from data_platform.lake.manifest import KEYS

PART = "part"
"""In a slice's origin: the SQL condition of its rows."""


@runtime_checkable
class SharesState(Protocol):
    """A session whose state of the database other sessions can read too (`System.session` takes the state's name)."""

    def parts(self, feed: SqlTableSpec) -> Sequence[str]:
        """SQL conditions that split the feed's table into parts of about the same size, each row in one; none for a
        table that is read in one piece. Raises Refused if the feed declares parts of what can't be split."""

    def keys_state(self, feed: SqlTableSpec, columns: Sequence[str]) -> str:
        """A text that differs if the table has other keys."""

    def exported(self) -> str:
        """The state's name. It lasts while the session is open."""


@dataclass(frozen=True)
class Reads:
    """What there is to read. `window`: None if nothing is new, or the whole table is read. `parts`: conditions; none:
    in one piece. `keys`: whether the keys are read; `keys_state`: what the position is to say of them."""

    rows: bool
    window: Window | None
    parts: Sequence[str] = ()
    keys: bool = False
    keys_state: str | None = None

    @property
    def pieces(self) -> int:
        """How many extracts that makes."""
        return (max(1, len(self.parts)) if self.rows else 0) + self.keys


def slices(
    feed: SqlTableSpec, reads: Reads, since: Position | None, now: datetime, state: str | None
) -> Iterator[Slice]:
    """The slices. `since`: the position that they begin at. `state`: the name of the state that they share, if they are
    several: all of them are loaded together, or none."""
    name, contract = feed.name, feed.contract.hash
    until: dict[str, Any] = {"read_at": now.isoformat()}
    if feed.watermark is not None:
        last = since["watermark"] if since else None
        until = {"column": feed.watermark.column, "watermark": reads.window.until if reads.window else last}
        if reads.keys_state is not None:
            until["keys"] = reads.keys_state
    what: tuple[object, ...] = (now.isoformat(),)
    if reads.window is not None and state is None:  # a retry of the same window finds the work of an earlier try
        what = (until["column"], reads.window.since, reads.window.until)
    snapshot = Snapshot(extract_id_of(name, contract, now.isoformat(), state), reads.pieces) if state else None

    def one(**origin: Any) -> Slice:
        which = tuple(origin.values())
        return Slice(
            extract_id_of(name, contract, *what, *which),
            effective_at=now,
            since=since,
            until=until,
            snapshot=snapshot,
            origin=origin,
        )

    if reads.rows:
        yield from (one(**{PART: part}) for part in reads.parts) if reads.parts else [one()]
    if reads.keys:
        yield one(**{KEYS: True})


def holds_keys(slice_: Slice) -> bool:
    """Whether a slice is of the table's keys."""
    return slice_.origin.get(KEYS) is True


def of_keys(feed: SqlTableSpec) -> SqlTableSpec:
    """The feed with its key alone as its contract, of which no row may be a reject: the table would lose it."""
    contract = feed.contract
    keys = type(contract)(
        columns=tuple(contract.column(name) for name in contract.key), key=contract.key, drift="ignore"
    )
    return feed.with_contract(keys).model_copy(update={"reject_limit": RejectLimit(rows=0, share=None)})


def begins_at(since: Position | None, unfinished: Sequence[Any], column: str | None) -> Position | None:
    """Where a watermark's next window begins, or None: at the beginning. `unfinished`: the parts of an earlier run's
    snapshot, which is not loaded; what they hold is read again. `column`: the watermark; by another one, the table is
    read from its beginning."""
    if unfinished and since == unfinished[-1].position_to:
        since = unfinished[-1].position_from
    return since if since and column is not None and since.get("column") == column else None
