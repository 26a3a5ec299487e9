"""The city's service requests, with the addresses that people type, as they are at each wave."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from data_platform.local_cloud.demo.addresses import TWINS, Address
from data_platform.local_cloud.demo.permits import READ_TO

_SUBJECTS = ("pothole", "street light", "missed collection", "graffiti", "noise", "abandoned car")
_NOT_FOUND = (
    ("Gull Way and Dock Road", "no_match"),
    ("9999 Quay Street", "no_match"),
    ("14 Elm Boulevard", "no_match"),
    ("behind the library", "no_match"),
    ("?", "no_address"),
    ("  ", "no_address"),
)


@dataclass(frozen=True)
class ServiceRequest:
    """A row of `service_requests`. `place`: how its address is geocoded; None where it has none."""

    request_id: int
    subject: str | None
    status: str
    address: str | None
    opened_at: datetime | str
    closed_at: datetime | None
    updated_at: datetime
    place: str | None
    at: Address | None = None

    def values(self) -> tuple[Any, ...]:
        """The columns' values, in order."""
        return (
            *(self.request_id, self.subject, self.status, self.address),
            *(self.opened_at, self.closed_at, self.updated_at),
        )

    @property
    def key(self) -> int:
        """What identifies the row."""
        return self.request_id

    @property
    def fault(self) -> str | None:
        """The first column that breaks the contract."""
        if self.subject is None:
            return "subject"
        return "opened_at" if isinstance(self.opened_at, str) else None


def first_requests(count: int, addresses: Sequence[Address], seed: int) -> dict[int, ServiceRequest]:
    """The first wave's, by id. About half of the requests are about a house that another one is about."""
    random = np.random.default_rng([seed, 8])
    houses = random.integers(0, count // 2, count).tolist()
    subjects = random.integers(0, len(_SUBJECTS), count).tolist()
    minutes = np.sort(random.integers(60, 300 * 1440, count))[::-1].tolist()
    closed = (random.random(count) < 0.7).tolist()
    texts = list(_texts([addresses[1_000 + 7 * house] for house in houses], addresses[TWINS[0]]))
    rows = []
    for at, (text, place, house) in enumerate(texts):
        opened = READ_TO - timedelta(minutes=minutes[at])
        ended = opened + timedelta(minutes=45) if closed[at] else None
        rows.append(
            ServiceRequest(
                request_id=at + 1,
                subject=_SUBJECTS[subjects[at]],
                status="closed" if closed[at] else "open",
                address=text,
                opened_at=opened,
                closed_at=ended,
                updated_at=ended or opened,
                place=place,
                at=house,
            )
        )
    rows[8] = replace(rows[8], subject=None)
    rows[9] = replace(rows[9], opened_at="infinity")
    rows[-1] = replace(rows[-1], updated_at=READ_TO)
    return {row.key: row for row in rows}


def second_requests(rows: Mapping[int, ServiceRequest], addresses: Sequence[Address]) -> dict[int, ServiceRequest]:
    """The second wave's: every tenth open one is closed, one has another address, and some are new."""
    changed, at = dict(rows), READ_TO
    for row in [row for row in rows.values() if row.status == "open" and row.fault is None][::10]:
        at += timedelta(minutes=1)
        changed[row.key] = replace(row, status="closed", closed_at=at, updated_at=at)
    moved = changed[len(rows) - 1]
    house = addresses[3_000]
    changed[moved.key] = replace(moved, address=house.line, place="matched", at=house, updated_at=at)
    for more in range(1, 6):
        at += timedelta(minutes=1)
        house = addresses[3_000 + more]
        number = len(rows) + more
        changed[number] = ServiceRequest(number, "pothole", "open", house.line, at, None, at, "matched", house)
    return changed


def _texts(houses: Sequence[Address], twin: Address) -> Iterator[tuple[str | None, str | None, Address | None]]:
    """What people type, how it is geocoded, and the house that they mean."""
    for at, house in enumerate(houses):
        if at % 20 == 3:
            text, place = _NOT_FOUND[at // 20 % len(_NOT_FOUND)]
            yield text, place, None
        elif at % 40 == 5:
            yield (twin.line, "ambiguous", None) if at % 80 == 5 else (None, None, None)
        else:
            yield _typed(house, at), "matched", house


def _typed(house: Address, at: int) -> str:
    spelled = (
        house.line,
        house.line.lower(),
        f"{house.house_number}  {house.street}, Port Meridian",
        f"{house.line} Apt. 2",
        f" {house.line}.",
    )
    return spelled[at % len(spelled)]
