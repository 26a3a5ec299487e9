"""What a geocoding service is to this package: it is asked for some addresses at once, and answers each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, Protocol

Status = Literal["matched", "ambiguous", "no_match", "no_address", "not_asked"]
"""`matched`: one place. `ambiguous`: several. `no_match`: the service knows no such address. `no_address`: the text is
none, so that it isn't asked for. `not_asked`: a limit of this platform was reached before its turn came."""
DEGREES = Decimal("0.000001")


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known of an address. `reason`: why it is no match; "" of a match. `matched`: the address as the service
    writes it. Degrees: WGS 84, six digits. `precision`: the service's own word for how it found the place."""

    status: Status
    reason: str = ""
    matched: str | None = None
    latitude: Decimal | None = None
    longitude: Decimal | None = None
    precision: str | None = None


class Provider(Protocol):
    """A service. `name`: under which its answers are kept. `at_once`: how many addresses one request may have.
    `requests_at_once`: how many requests may wait for an answer at a time."""

    name: str
    at_once: int
    requests_at_once: int

    def ask(self, addresses: Sequence[str]) -> list[Answer]:
        """The answers, in the order of the addresses. Raises ApiFailed."""


def place(longitude: object, latitude: object) -> tuple[Decimal, Decimal] | None:
    """(longitude, latitude) in degrees; None where they are no place on earth."""
    try:
        east, north = (Decimal(str(value)).quantize(DEGREES) for value in (longitude, latitude))
    except ArithmeticError:
        return None
    return (east, north) if abs(east) <= 180 and abs(north) <= 90 else None
