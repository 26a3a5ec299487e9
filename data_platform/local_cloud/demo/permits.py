"""The register's permits, with their defects, as they are at each wave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np

from data_platform.local_cloud.demo.calendar import CITY

OVERLAP = timedelta(minutes=15)  # as the feed's `defs.yaml` says
READ_TO = datetime(2026, 11, 1, 22, 42, 11, 123456, tzinfo=UTC)
"""The last change of a permit in the first wave: the second read begins at the overlap before it."""

_TYPES = ("new building", "alteration", "demolition", "electrical", "plumbing", "sign")
_NOTES = (
    *(
        "",
        "Call before 9:00",
        "Owner's plan is \\\\records\\plans\\12",
        'Says "as built"',
        "Line one\nLine two\tand more",
    ),
    *("Façade protégée", "水 main nearby", "null", "\\N", "50 % paid"),
)


@dataclass(frozen=True)
class Permit:
    """A row of `permits`. `cost` is in cents."""

    permit_id: str
    address_id: int
    type: str
    status: str | None
    cost: int | str | None
    applied_on: date | str
    issued_at: datetime | None
    updated_at: datetime
    notes: str | None

    def values(self) -> tuple[Any, ...]:
        """The columns' values, in order."""
        cost = Decimal(self.cost).scaleb(-2) if isinstance(self.cost, int) else self.cost
        return (
            *(self.permit_id, self.address_id, self.type, self.status, cost),
            *(self.applied_on, self.issued_at, self.updated_at, self.notes),
        )

    @property
    def key(self) -> str:
        """What identifies the row."""
        return self.permit_id

    @property
    def fault(self) -> str | None:
        """The first column that breaks the contract."""
        if self.status is None:
            return "status"
        if isinstance(self.cost, str):
            return "cost"
        return "applied_on" if isinstance(self.applied_on, str) else None


def first_permits(count: int, addresses: int, seed: int) -> dict[str, Permit]:
    """The first wave's, by id."""
    random = np.random.default_rng([seed, 6])
    where = random.integers(1, addresses + 1, count).tolist()
    kinds = random.integers(0, len(_TYPES), count).tolist()
    ages = np.sort(random.integers(3, 300, count))[::-1].tolist()  # days; permits are numbered as they are applied for
    stages = random.choice(4, count, p=[0.2, 0.45, 0.25, 0.1]).tolist()
    costs = (random.gamma(1.2, 900_000, count) + 5_000).astype(np.int64).tolist()
    unknown = (random.random(count) < 0.05).tolist()
    seconds = random.integers(0, 8 * 3600, count).tolist()
    notes = random.integers(0, 3 * len(_NOTES), count).tolist()
    rows = []
    for at in range(count):
        applied = READ_TO - timedelta(days=ages[at], seconds=seconds[at])
        issued = applied + timedelta(days=1, hours=3)
        stage = ("applied", "issued", "finished", "withdrawn")[stages[at]]
        rows.append(
            Permit(
                permit_id=_permit_id(at + 1),
                address_id=where[at],
                type=_TYPES[kinds[at]],
                status=stage,
                cost=None if unknown[at] else costs[at],
                applied_on=applied.astimezone(CITY).date(),
                issued_at=issued if stage in ("issued", "finished") else None,
                updated_at=issued if stage != "applied" else applied,
                notes=_NOTES[notes[at]] if notes[at] < len(_NOTES) else None,
            )
        )
    rows[2] = replace(rows[2], address_id=21)  # the address that is torn down
    rows[3] = replace(rows[3], cost="NaN")
    rows[4] = replace(rows[4], applied_on="infinity")
    rows[5] = replace(rows[5], status=None)
    # Changed last before the read: these are read again, the one that breaks the contract too.
    rows[-4] = replace(rows[-4], updated_at=READ_TO - OVERLAP, cost="NaN")
    rows[-3] = replace(rows[-3], updated_at=READ_TO - OVERLAP + timedelta(microseconds=1))
    rows[-2] = replace(rows[-2], updated_at=READ_TO - timedelta(minutes=1))
    rows[-1] = replace(rows[-1], updated_at=READ_TO)
    return {row.permit_id: row for row in rows}


def second_permits(permits: Mapping[str, Permit], addresses: int) -> dict[str, Permit]:
    """The second wave's: every 20th has another status, some are new, and one was committed late."""
    changed = dict(permits)
    at = READ_TO
    for number in range(8, len(permits) - 8, 20):
        at += timedelta(seconds=20)
        row = changed[_permit_id(number)]
        status = "finished" if row.status == "issued" else "withdrawn"
        changed[row.permit_id] = replace(row, status=status, updated_at=at, notes="Closed")
    at += timedelta(hours=1)
    corrected, spoiled = changed[_permit_id(4)], changed[_permit_id(7)]
    changed[corrected.permit_id] = replace(corrected, cost=1_250_000, updated_at=at)
    changed[spoiled.permit_id] = replace(spoiled, cost="NaN", updated_at=at)  # the row loaded before stays
    for more in range(1, 6):
        at += timedelta(minutes=1)
        key = _permit_id(len(permits) + more)
        day = at.astimezone(CITY).date()
        changed[key] = Permit(key, more * addresses // 6, "sign", "applied", 45_000, day, None, at, None)
    # A clerk's transaction: begun before the first read, committed after it.
    late = _permit_id(len(permits) + 6)
    before = READ_TO - timedelta(minutes=5)
    day = before.astimezone(CITY).date()
    changed[late] = Permit(late, addresses // 2, "plumbing", "applied", 99_999, day, None, before, "Late")
    return changed


def _permit_id(number: int) -> str:
    return f"BP{number:06d}"
