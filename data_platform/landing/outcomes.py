"""Decides the outcomes of deliveries that are loaded together (loaded, duplicate, superseded) and which rows to delete.

Rules only: `policy.py` reads the ledger inside the load's transaction, calls `decide`, and writes the outcomes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Literal

from data_platform.feeds.spec import WHOLE, LoadMode

Status = Literal["loaded", "duplicate", "superseded", "quarantined"]
_LONGEST_REASON = 2_000
"""Characters. A header's mistake names its columns, which may be thousands."""


@dataclass(frozen=True, slots=True)
class _File:
    """Which delivery it is: a version of a file, its feed, content and day."""

    delivery_id: str
    partner: str
    feed: str
    file_name: str
    object_key: str
    version_id: str
    etag: str
    size_bytes: int
    content_sha256: str | None
    landed_at: datetime
    partition: str | None


@dataclass(frozen=True, slots=True)
class Settlement(_File):
    """One delivery and its wanted outcome.

    `loaded` needs the extract that holds the rows; `decide` may still find a duplicate, or a later delivery that
    supersedes it. `quarantined` needs a reason, and its extract holds only rejects. `rows_read` counts records, good
    and bad.
    """

    status: Literal["loaded", "quarantined"]
    reason: str | None = None
    rows_read: int = 0
    rows_rejected: int = 0
    extract_id: str | None = None

    def __post_init__(self) -> None:
        if self.status == "loaded" and self.extract_id is None:
            raise ValueError(f"delivery {self.delivery_id}: `loaded` needs an extract_id")


@dataclass(frozen=True, slots=True)
class DeliveryRow(_File):
    """A row of PLATFORM.DELIVERIES: a delivery and its outcome. Fields are named as in the partner's receipt.

    For `loaded`, rows_read = rows_loaded + rows_rejected. A superseded delivery keeps the counts of its load;
    rows_loaded is 0 if a later version was loaded first.
    """

    status: Status
    reason: str | None
    rows_read: int
    rows_loaded: int
    rows_rejected: int
    extract_id: str | None
    superseded_by: str | None
    run_id: str | None
    settled_at: datetime


@dataclass(slots=True)
class Settling:
    """What a load does: it loads the extract ids `load`, deletes the rows of the extract ids `remove`, and writes the
    new or changed ledger rows `write`. `outcomes` are the ledger rows of the given deliveries. Ledger rows are by
    delivery id."""

    outcomes: dict[str, DeliveryRow] = field(default_factory=dict)
    write: dict[str, DeliveryRow] = field(default_factory=dict)
    load: list[str] = field(default_factory=list)
    remove: set[str] = field(default_factory=set)


def decide(
    settlements: Sequence[Settlement],
    ledger: Iterable[DeliveryRow],
    *,
    mode: LoadMode,
    run_id: str | None,
    now: datetime,
    reload: bool = False,
    overwritten: Collection[str] = (),
) -> Settling:
    """Decides on one feed's deliveries, in the order in which they landed.

    `ledger` must have the rows of these deliveries; of loaded ones and duplicates with the same content, file name or
    (modes `replace` and `history`) partition; of the duplicates of those; and of those with such a duplicate's file
    name.
    `overwritten`: the extract ids of loaded deliveries whose rows are no longer all in the table (mode `merge`: another
    delivery had rows with the same keys).

    - The outcome of an earlier attempt stays, unless the rows come in another extract or `reload` is set.
    - A delivery with the same partition and content as a loaded one is a `duplicate`, unless rows of that one were
      overwritten.
    - Of deliveries with the same file name (modes `replace` and `history`: or the same partition), the one that landed
      last stays. The others are `superseded` and lose their rows, in whatever order they are loaded.
    - A duplicate supersedes others as a loaded delivery does. A duplicate of a superseded delivery is loaded in its
      place, unless a later delivery has superseded it too.
    """
    state = {row.delivery_id: row for row in ledger}
    settling = Settling()
    for wanted in sorted(settlements, key=lambda each: each.landed_at):
        old = state.get(wanted.delivery_id)
        if old is not None and _settled(old, wanted, reload):
            continue
        if wanted.status != "loaded" or wanted.extract_id is None:
            _put(settling, state, _row(wanted, wanted.status, wanted.reason, 0, None, run_id, now))
            continue
        if old is not None and old.status == "loaded":
            _take_out(settling, old.extract_id)
        # Both of two deliveries with the same content are loaded where the table lost rows of the first in between.
        twin = None if reload else _twin(wanted, state, overwritten)
        if twin is not None and old is not None and old.status == "duplicate":
            continue
        later = _later(wanted, state, mode)
        if twin is not None:
            reason = f"same content as {twin.file_name} (delivery {twin.delivery_id})"
            _put(settling, state, _row(wanted, "duplicate", reason, 0, None, run_id, now))
        elif later:
            winner = max(later, key=lambda row: row.landed_at)
            reason = f"{winner.file_name}, which landed later, has been loaded"
            _put(settling, state, _row(wanted, "superseded", reason, 0, winner.delivery_id, run_id, now))
        else:
            rows = wanted.rows_read - wanted.rows_rejected
            _put(settling, state, _row(wanted, "loaded", wanted.reason, rows, None, run_id, now))
            settling.load.append(wanted.extract_id)
        if not later:
            others = [row for row in _loaded(state) if row is not twin and row.delivery_id != wanted.delivery_id]
            rivals = [row for row in others if _competes(wanted, row, mode)]
            for row in rivals:
                _supersede(row, wanted, settling, state, now)
            for row in rivals:
                _load_a_duplicate_of(row, wanted, settling, state, mode, run_id, now)
    settling.outcomes = {each.delivery_id: state[each.delivery_id] for each in settlements}
    return settling


def _settled(old: DeliveryRow, wanted: Settlement, reload: bool) -> bool:
    """Whether to keep the ledger's outcome. A superseded delivery is never loaded again, and only rows of another
    extract, or a reload, replace loaded rows. A quarantined or duplicate delivery may get another outcome."""
    if old.status == "superseded":
        return True
    if old.status == "loaded":
        return wanted.status != "loaded" or (old.extract_id == wanted.extract_id and not reload)
    return old.status == wanted.status


def _supersede(
    row: DeliveryRow, by: Settlement, settling: Settling, state: dict[str, DeliveryRow], now: datetime
) -> None:
    in_this_load = row.extract_id in settling.load
    _take_out(settling, row.extract_id)
    superseded = replace(
        row,
        status="superseded",
        superseded_by=by.delivery_id,
        reason=f"superseded by {by.file_name}, landed {by.landed_at}",
        rows_loaded=0 if in_this_load else row.rows_loaded,
        settled_at=now,
    )
    _put(settling, state, superseded)


def _load_a_duplicate_of(
    gone: DeliveryRow,
    by: Settlement,
    settling: Settling,
    state: dict[str, DeliveryRow],
    mode: LoadMode,
    run_id: str | None,
    now: datetime,
) -> None:
    """Loads the first duplicate of a superseded delivery, whose content is in no table now. A duplicate without an
    extract, which an earlier release settled, stays one."""
    same = [
        row
        for row in state.values()
        if row.status == "duplicate"
        and row.extract_id is not None
        and (row.content_sha256, row.partition) == (gone.content_sha256, gone.partition)
        and not _later(row, state, mode)
    ]
    if not same or _twin(gone, state, ()) is not None:
        return
    first = min(same, key=lambda row: row.landed_at)
    loaded = replace(
        first,
        status="loaded",
        reason=f"had the same content as {gone.file_name}, which {by.file_name} has superseded",
        rows_loaded=first.rows_read - first.rows_rejected,
        run_id=run_id,
        settled_at=now,
    )
    _put(settling, state, loaded)
    settling.load.append(str(first.extract_id))


def _loaded(state: dict[str, DeliveryRow]) -> list[DeliveryRow]:
    return [row for row in state.values() if row.status == "loaded"]


def _later(wanted: _File, state: dict[str, DeliveryRow], mode: LoadMode) -> list[DeliveryRow]:
    """The deliveries that landed later and supersede this one. A duplicate of this one doesn't: its content is in the
    table by this one."""
    return [
        row
        for row in state.values()
        if row.landed_at > wanted.landed_at
        and (row.status == "loaded" or (row.status == "duplicate" and not _same_content(wanted, row)))
        and _competes(wanted, row, mode)
    ]


def _twin(wanted: _File, state: dict[str, DeliveryRow], overwritten: Collection[str]) -> DeliveryRow | None:
    """The loaded delivery that makes this one a duplicate."""
    for row in _loaded(state):
        if row.delivery_id == wanted.delivery_id:
            continue
        if _same_content(wanted, row) and row.extract_id not in overwritten:
            return row
    return None


def _same_content(wanted: _File, row: DeliveryRow) -> bool:
    known = wanted.content_sha256 is not None
    return known and (row.content_sha256, row.partition) == (wanted.content_sha256, wanted.partition)


def _competes(wanted: _File, row: DeliveryRow, mode: LoadMode) -> bool:
    return row.file_name == wanted.file_name or (mode in WHOLE and row.partition == wanted.partition)


def _put(settling: Settling, state: dict[str, DeliveryRow], row: DeliveryRow) -> None:
    state[row.delivery_id] = settling.write[row.delivery_id] = row


def _take_out(settling: Settling, extract_id: str | None) -> None:
    if extract_id in settling.load:
        settling.load.remove(extract_id)
    elif extract_id is not None:
        settling.remove.add(extract_id)


def _row(
    wanted: Settlement,
    status: Status,
    reason: str | None,
    rows_loaded: int,
    superseded_by: str | None,
    run_id: str | None,
    now: datetime,
) -> DeliveryRow:
    return DeliveryRow(
        **{each.name: getattr(wanted, each.name) for each in fields(_File)},
        status=status,
        reason=reason if reason is None or len(reason) <= _LONGEST_REASON else f"{reason[:_LONGEST_REASON]}…",
        rows_read=wanted.rows_read,
        rows_loaded=rows_loaded,
        rows_rejected=wanted.rows_rejected,
        extract_id=wanted.extract_id,
        superseded_by=superseded_by,
        run_id=run_id,
        settled_at=now,
    )
