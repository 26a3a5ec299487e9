"""The register's violations of the city's codes, with their defects, as they are at each wave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np

from data_platform.local_cloud.demo.calendar import CITY
from data_platform.local_cloud.demo.permits import READ_TO

_CODES = (
    "PM-102.1 vacant building",
    "PM-302.4 high weeds",
    "PM-306.0 waste",
    "F-107.2 exit blocked",
    "A-301.1 no permit",
)


@dataclass(frozen=True)
class Violation:
    """A row of `violations`. `fine` is in cents."""

    violation_id: str
    address_id: int
    code: str
    status: str | None
    fine: int | str | None
    found_on: date
    closed_at: datetime | None
    updated_at: datetime

    def values(self) -> tuple[Any, ...]:
        """The columns' values, in order."""
        fine = Decimal(self.fine).scaleb(-2) if isinstance(self.fine, int) else self.fine
        return (
            *(self.violation_id, self.address_id, self.code, self.status, fine),
            *(self.found_on, self.closed_at, self.updated_at),
        )

    @property
    def key(self) -> str:
        """What identifies the row."""
        return self.violation_id

    @property
    def fault(self) -> str | None:
        """The first column that breaks the contract."""
        if self.status is None:
            return "status"
        return "fine" if isinstance(self.fine, str) else None


def first_violations(count: int, addresses: int, seed: int) -> dict[str, Violation]:
    """The first wave's, by id."""
    random = np.random.default_rng([seed, 7])
    where = random.integers(1, addresses + 1, count).tolist()
    codes = random.integers(0, len(_CODES), count).tolist()
    ages = np.sort(random.integers(3, 300, count))[::-1].tolist()
    closed = (random.random(count) < 0.6).tolist()
    fines = random.integers(5_000, 200_000, count).tolist()
    rows = []
    for at in range(count):
        found = READ_TO - timedelta(days=ages[at])
        ended = found + timedelta(days=2) if closed[at] else None
        rows.append(
            Violation(
                violation_id=f"CV{at + 1:06d}",
                address_id=where[at],
                code=_CODES[codes[at]],
                status="closed" if closed[at] else "open",
                fine=fines[at] if at % 7 else None,
                found_on=found.astimezone(CITY).date(),
                closed_at=ended,
                updated_at=ended or found,
            )
        )
    rows[2] = replace(rows[2], fine="NaN")
    rows[5] = replace(rows[5], status=None)
    rows[-1] = replace(rows[-1], updated_at=READ_TO)
    return {row.key: row for row in rows}


def second_violations(rows: Mapping[str, Violation]) -> dict[str, Violation]:
    """The second wave's: every 15th open one is closed, and one that broke the contract is corrected."""
    changed, at = dict(rows), READ_TO
    for row in [row for row in rows.values() if row.status == "open"][::15]:
        at += timedelta(minutes=1)
        changed[row.key] = replace(row, status="closed", closed_at=at, updated_at=at)
    corrected = changed["CV000006"]
    changed[corrected.key] = replace(corrected, status="open", updated_at=at + timedelta(minutes=1))
    return changed
