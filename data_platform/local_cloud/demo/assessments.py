"""What the city's assessors value its properties at, with defects, as it is at each wave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Assessment:
    """A row of `assessments`. Values are in US dollars."""

    parcel: str
    address_id: int
    tax_year: int
    land_value: int
    building_value: int | str
    assessed_on: date

    def values(self) -> tuple[Any, ...]:
        """The columns' values, in order."""
        building = Decimal(self.building_value) if isinstance(self.building_value, int) else self.building_value
        return (self.parcel, self.address_id, self.tax_year, self.land_value, building, self.assessed_on)

    @property
    def key(self) -> str:
        """What identifies the row."""
        return self.parcel

    @property
    def fault(self) -> str | None:
        """The column that breaks the contract."""
        return "building_value" if isinstance(self.building_value, str) else None


def first_assessments(count: int, seed: int) -> list[Assessment]:
    """The first wave's, of the register's first addresses."""
    random = np.random.default_rng([seed, 9])
    land = random.integers(20, 400, count).tolist()
    building = random.integers(0, 2_000, count).tolist()
    rows = [
        Assessment(f"{at // 100 + 1:03d}-{at % 100:02d}", at + 1, 2027, land[at] * 1_000, building[at] * 1_000,
                   date(2026, 3, 2 + at % 28))
        for at in range(count)
    ]  # fmt: skip
    rows[12] = replace(rows[12], building_value="NaN")
    return rows


def second_assessments(rows: Sequence[Assessment]) -> list[Assessment]:
    """The second wave's: every 50th was appealed, and the wrong one corrected; one still is."""
    changed = [
        replace(row, land_value=row.land_value - 5_000, assessed_on=date(2026, 11, 2)) if at % 50 == 0 else row
        for at, row in enumerate(rows)
    ]
    changed[12] = replace(changed[12], building_value=310_000)
    changed[13] = replace(changed[13], building_value="NaN")
    return changed
