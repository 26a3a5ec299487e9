"""The register's addresses, with their defects, as they are at each wave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import numpy as np

_STREETS = (
    *("Anchor Lane", "Bahía Street", "Café Row", "Dock Road", "Église Court", "Fjällgatan", "Gull Way", "Hafen Straße"),
    *("Îlot Square", "Jetty Lane", "Kiln Street", "Łódź Avenue", "Mill Pond Road", "Niño Place", "O'Hara Street"),
    *("Praça Nova", "Quay Street", "Ropewalk", "Smörgås Alley", "Tram Road", "Über Hill", "Vía Alta", "海岸 Street"),
)
_NEIGHBORHOODS = ("Gasworks", "Hospital Hill", "North Quay", "Orchard", "Saltmarsh", "Uplands")


@dataclass(frozen=True)
class Address:
    """A row of `addresses`. Latitude and longitude are in millionths of a degree."""

    address_id: int
    street: str
    house_number: str
    unit: str | None
    neighborhood: str | None
    latitude: int
    longitude: int

    def values(self) -> tuple[Any, ...]:
        """The columns' values, in order."""
        where = (Decimal(value).scaleb(-6) for value in (self.latitude, self.longitude))
        return (self.address_id, self.street, self.house_number, self.unit, self.neighborhood, *where)

    @property
    def fault(self) -> str | None:
        """The column that breaks the contract."""
        return "neighborhood" if self.neighborhood is None else None


def first_addresses(count: int, seed: int) -> list[Address]:
    """The first wave's."""
    random = np.random.default_rng([seed, 5])
    streets = random.integers(0, len(_STREETS), count).tolist()
    units = np.where(random.random(count) < 0.3, random.integers(1, 40, count), 0).tolist()
    halves = (random.random(count) < 0.02).tolist()
    north = random.integers(43_050_000, 43_120_000, count).tolist()
    west = random.integers(-70_790_000, -70_710_000, count).tolist()
    rows = [
        Address(
            address_id=at + 1,
            street=_STREETS[streets[at]],
            house_number=f"{1 + at % 240}{'½' if halves[at] else ''}",
            unit=f"Apt. {units[at]}" if units[at] else None,
            neighborhood=_NEIGHBORHOODS[at % len(_NEIGHBORHOODS)],
            latitude=north[at],
            longitude=west[at],
        )
        for at in range(count)
    ]
    for at in (10, 400):  # nobody has said where they lie; the second wave says it of the first of them
        rows[at] = replace(rows[at], neighborhood=None)
    return rows


def second_addresses(rows: Sequence[Address]) -> list[Address]:
    """The second wave's: one is corrected, one renumbered, one was torn down, and two are new."""
    changed = list(rows)
    changed[10] = replace(changed[10], neighborhood=_NEIGHBORHOODS[0])
    changed[11] = replace(changed[11], house_number="11 bis")
    last = changed[-1]
    changed += [replace(last, address_id=last.address_id + more, unit=f"Apt. {more}") for more in (1, 2)]
    del changed[20]
    return changed
