"""The US Census Bureau's batch geocoder: a CSV file of up to 10,000 addresses a request, without a key.

https://geocoding.geo.census.gov/geocoder/Geocoding_Services_API.pdf: a form with `addressFile` (no header; unique id,
street, city, state, ZIP) and `benchmark`. The answer is CSV, in any order: id, address, Match, No_Match or Tie; for a
match also Exact or Non_Exact, the address as matched, "longitude,latitude", the TIGER line's id and its side.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from data_platform.extract.web.client import Api, ApiClient
from data_platform.geocode.provider import Answer, place

MOST = 10_000
"""Addresses of a file."""
BENCHMARK = "Public_AR_Current"

CENSUS = Api(
    name="The Census geocoder",
    per_second=1.0,
    headers=lambda address: {},
    lockout_seconds=30.0,
    advice={400: "check the benchmark"},
    kept="What was found is kept",
)


class CensusBatch:
    """Asks it. An address is `street, city, state, zip`, or as many of these as there are; `city`, `state`: of an
    address that is only a street."""

    requests_at_once = 2

    def __init__(self, name: str, client: ApiClient, *, city: str = "", state: str = "", at_once: int = 1_000) -> None:
        self.name, self._client = name, client
        self._rest = (city, state, "")
        self.at_once = min(at_once, MOST)

    def ask(self, addresses: Sequence[str]) -> list[Answer]:
        """One request. An address that the answer leaves out is no match."""
        file = io.StringIO()
        rows = ([number, *self._parts(address)] for number, address in enumerate(addresses))
        csv.writer(file, lineterminator="\n").writerows(rows)
        fields = {"benchmark": BENCHMARK}
        content = ("addressFile", file.getvalue().encode())
        subject = f"{self.name}: {len(addresses)} addresses"
        found = self._client.post_file("locations/addressbatch", fields, content, subject, _answers)
        missing = Answer("no_match", "the answer leaves it out")
        return [found.get(number, missing) for number in range(len(addresses))]

    def _parts(self, address: str) -> tuple[str, ...]:
        street, *rest = (part.strip() for part in address.split(","))
        return (street, *(rest[:3] + list(self._rest[len(rest) :]) if rest else self._rest))


def _answers(text: str) -> dict[int, Answer] | None:
    """The answers by the addresses' numbers; None where the text is no such file, as one that was cut off."""
    found = {}
    if text and not text.endswith("\n"):
        return None
    for row in csv.reader(io.StringIO(text)):
        if len(row) < 3 or not row[0].strip('"').isdigit():
            return None
        answer = _answer(row)
        if answer is None:
            return None
        found[int(row[0].strip('"'))] = answer
    return found


def _answer(row: list[str]) -> Answer | None:
    match row[2]:
        case "No_Match":
            return Answer("no_match", "the service knows no such address")
        case "Tie":
            return Answer("ambiguous", "several places have this address")
        case "Match" if len(row) >= 6:
            where = place(*row[5].split(",")) if row[5].count(",") == 1 else None
            if where is None:
                return None
            return Answer("matched", matched=row[4], longitude=where[0], latitude=where[1], precision=row[3].lower())
    return None
