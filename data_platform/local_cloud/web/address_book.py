"""The addresses that the doubles of geocoding services know, and how they look one up."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

_UNIT = re.compile(r"[, ]+(?:APT|UNIT|STE|#)\.? *\w+$")


class Entry(NamedTuple):
    """One place: its address in capitals, `12 MILL POND ROAD`, and where it is in degrees."""

    address: str
    longitude: float
    latitude: float


@dataclass(frozen=True)
class Found:
    """What a text comes to. `unit`: the text named a unit of the building."""

    entries: tuple[Entry, ...]
    street: str
    unit: bool


class AddressBook:
    """The addresses of one city. `city`: what may follow them behind a comma."""

    def __init__(self, entries: Iterable[Entry], city: str = "PORT MERIDIAN") -> None:
        self._city = city
        self._by_address: dict[str, list[Entry]] = defaultdict(list)
        self._by_street: dict[str, Entry] = {}
        for entry in entries:
            self._by_address[entry.address].append(entry)
            self._by_street.setdefault(entry.address.partition(" ")[2], entry)

    @classmethod
    def read(cls, path: Path) -> AddressBook:
        """Of a file as `write` makes it."""
        return cls(Entry(*each) for each in json.loads(path.read_text(encoding="utf-8")))

    @staticmethod
    def write(entries: Iterable[Entry], path: Path) -> None:
        """A JSON array of [address, longitude, latitude]."""
        path.write_text(json.dumps(list(entries), ensure_ascii=False), encoding="utf-8")

    def find(self, text: str) -> Found:
        """The places with this address: of a unit, those of its building."""
        plain = " ".join(text.upper().split())
        plain = re.sub(rf", *{re.escape(self._city)}\b.*$", "", plain).strip(" ,.")
        base = _UNIT.sub("", plain)
        return Found(tuple(self._by_address.get(base, ())), base.partition(" ")[2], base != plain)

    def on_street(self, street: str) -> Entry | None:
        """Any address of the street, or None for an unknown one."""
        return self._by_street.get(street)
