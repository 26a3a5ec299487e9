"""The city's parks, with their shapes and a defect: the same at both waves."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

_KINDS = ("park", "playground", "garden", "beach")
_NAMES = ("Anchor", "Bellhouse", "Cooper's", "Dune", "Elm", "Ferry", "Granite", "Harbor", "Inlet", "Juniper", "Keel")
Ring = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Park:
    """A row of `parks`. `ring`: its border, longitude and latitude of each corner, the first one again at its end."""

    park_id: int
    name: str
    kind: str
    hectares: int
    ring: Ring
    crossed: bool = False

    def values(self) -> tuple[Any, ...]:
        """The columns' values, in order; bytes as PostgreSQL writes them."""
        shape = struct.pack("<BIII", 1, 3, 1, len(self.ring)) + b"".join(struct.pack("<dd", *p) for p in self.ring)
        return (self.park_id, self.name, self.kind, Decimal(self.hectares).scaleb(-1), rf"\x{shape.hex()}")

    @property
    def key(self) -> int:
        """What identifies the row."""
        return self.park_id

    @property
    def fault(self) -> str | None:
        """The column that breaks the contract: a border that crosses itself."""
        return "shape" if self.crossed else None


def parks(count: int, seed: int) -> list[Park]:
    """All of them: hexagons."""
    random = np.random.default_rng([seed, 10])
    west = random.integers(-70_785, -70_715, count).tolist()
    north = random.integers(43_052, 43_118, count).tolist()
    kinds = random.integers(0, len(_KINDS), count).tolist()
    sizes = random.integers(3, 400, count).tolist()
    rows = []
    for at in range(count):
        x, y = west[at] / 1000, north[at] / 1000
        corners = [(2, 0), (1, 2), (-1, 2), (-2, 0), (-1, -2), (1, -2)]
        if at == 7:
            corners[1], corners[2] = corners[2], corners[1]
        ring = tuple((round(x + dx / 2000, 6), round(y + dy / 2000, 6)) for dx, dy in (*corners, corners[0]))
        name = f"{_NAMES[at % len(_NAMES)]} {_KINDS[kinds[at]].title()} {at // len(_NAMES) + 1}"
        rows.append(Park(at + 1, name, _KINDS[kinds[at]], sizes[at], ring, crossed=at == 7))
    return rows
