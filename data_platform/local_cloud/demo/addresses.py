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

TWINS = (100, 200)
"""The places in the register of two houses with one address."""


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
    def key(self) -> int:
        """What identifies the row."""
        return self.address_id

    @property
    def line(self) -> str:
        """House number and street, as people write them."""
        return f"{self.house_number} {self.street}"

    @property
    def fault(self) -> str | None:
        """The column that breaks the contract."""
        return "neighborhood" if self.neighborhood is None else None


def first_addresses(count: int, seed: int) -> list[Address]:
    """The first wave's."""
    random = np.random.default_rng([seed, 5])
    streets = random.integers(0, len(_STREETS), count)
    numbers = np.empty(count, dtype=np.int64)  # each street's houses are numbered from 1
    for street in range(len(_STREETS)):
        numbers[streets == street] = np.arange(1, np.count_nonzero(streets == street) + 1)
    units = np.where(random.random(count) < 0.3, random.integers(1, 40, count), 0).tolist()
    halves = (random.random(count) < 0.02).tolist()
    north = random.integers(43_050_000, 43_120_000, count).tolist()
    west = random.integers(-70_790_000, -70_710_000, count).tolist()
    rows = [
        Address(
            address_id=at + 1,
            street=_STREETS[streets[at]],
            house_number=f"{numbers[at]}{'½' if halves[at] else ''}",
            unit=f"Apt. {units[at]}" if units[at] else None,
            neighborhood=_NEIGHBORHOODS[at % len(_NEIGHBORHOODS)],
            latitude=north[at],
            longitude=west[at],
        )
        for at in range(count)
    ]
    for at in (10, 400):  # nobody has said where they lie; the second wave says it of the first of them
        rows[at] = replace(rows[at], neighborhood=None)
    twin = rows[TWINS[0]]  # two houses have one address: nobody can tell which is meant
    rows[TWINS[1]] = replace(rows[TWINS[1]], street=twin.street, house_number=twin.house_number)
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
