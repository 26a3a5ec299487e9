"""The city's own tables, with their defects, as they are at each wave, and what they come to in the platform."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol, TypeVar

from data_platform.local_cloud.demo.addresses import Address, first_addresses, second_addresses
from data_platform.local_cloud.demo.assessments import Assessment, first_assessments, second_assessments
from data_platform.local_cloud.demo.key import PlantedRow, TableState, TableTotals
from data_platform.local_cloud.demo.parks import parks
from data_platform.local_cloud.demo.permits import OVERLAP, READ_TO, Permit, first_permits, second_permits
from data_platform.local_cloud.demo.requests import ServiceRequest, first_requests, second_requests
from data_platform.local_cloud.demo.violations import Violation, first_violations, second_violations
from data_platform.local_cloud.web.address_book import Entry

SOURCE, GEOCODER = "city_records", "address_search"
ADDRESSES, PERMITS = f"{SOURCE}/addresses", f"{SOURCE}/permits"
PLACES = f"{GEOCODER}/service_requests"
BOOK = "address_book.json"
"""The file of the addresses that the doubles of geocoding services know."""
PARKS = 40


class Row(Protocol):
    """A row of a table. `fault`: the first column that breaks the contract."""

    @property
    def key(self) -> Any: ...

    @property
    def fault(self) -> str | None: ...

    def values(self) -> tuple[Any, ...]:
        """The columns' values, in order."""


Any_Row = TypeVar("Any_Row", bound=Row)


@dataclass(frozen=True)
class Register:
    """The tables at both waves, and what they come to in the platform. `geocoded`: by table, how many addresses have
    each status. `entries`: the addresses that geocoding services know."""

    states: tuple[TableState, ...]
    totals: dict[str, TableTotals]
    tables: dict[str, int]
    geocoded: dict[str, dict[str, int]]
    marts: dict[str, Any]
    entries: list[Entry]


def make(folder: Path, addresses: int, permits: int, seed: int) -> Register:
    """Writes the tables' rows for both waves, as PostgreSQL's COPY takes them."""
    old = first_addresses(addresses, seed)
    new = second_addresses(old)
    first_values = first_assessments(addresses // 4, seed)
    assessed = second_assessments(first_values)
    green = parks(PARKS, seed)
    permit_waves = _waves(first_permits(permits, addresses, seed), lambda rows: second_permits(rows, addresses))
    found_waves = _waves(first_violations(permits, addresses, seed), second_violations)
    asked_waves = _waves(first_requests(permits // 2, old, seed), lambda rows: second_requests(rows, old))
    granted, found, asked = _merged(permit_waves), _merged(found_waves), _merged(asked_waves)
    listed = {row.address_id: row for row in new if row.fault is None}
    valued = {row.parcel: row for row in assessed if row.fault is None}
    waves: dict[str, tuple[Iterable[Row], Iterable[Row]]] = {
        "addresses": (old, new),
        "permits": (permit_waves[0].values(), permit_waves[1].values()),
        "violations": (found_waves[0].values(), found_waves[1].values()),
        "service_requests": (asked_waves[0].values(), asked_waves[1].values()),
        "assessments": (first_values, assessed),
        "parks": (green, green),
    }
    places = {row.address: str(row.place) for row in asked.values() if row.address is not None}
    totals = {
        ADDRESSES: _totals(new, current=1),
        PERMITS: _totals(_read(permit_waves), current=2),
        f"{SOURCE}/violations": _totals(_read(found_waves), current=2),
        f"{SOURCE}/service_requests": _totals(_read(asked_waves), current=2),
        f"{SOURCE}/assessments": _totals(assessed, current=1),
        f"{SOURCE}/parks": _totals(green, current=1),
        PLACES: TableTotals(current=1, rows_read=len(places), rows_loaded=len(places), rejects=0, rejected=()),
    }
    tables = {
        ADDRESSES: len(listed),
        PERMITS: len(granted),
        f"{SOURCE}/violations": len(found),
        f"{SOURCE}/service_requests": len(asked),
        f"{SOURCE}/assessments": len(valued),
        f"{SOURCE}/parks": totals[f"{SOURCE}/parks"].rows_loaded,
        PLACES: len(places),
    }
    return Register(
        states=tuple(_put(folder, wave, table, rows[wave - 1]) for wave in (1, 2) for table, rows in waves.items()),
        totals=totals,
        tables=tables,
        geocoded={PLACES: dict(sorted(Counter(places.values()).items()))},
        marts={
            "permits_by_neighborhood": _by_neighborhood(granted.values(), listed),
            "neighborhoods": _neighborhoods(granted, found, asked, valued, listed),
            "fct_service_requests": [
                {"request_id": row.request_id, "geocode_status": row.place, "neighborhood": _lies_in(row, listed)}
                for row in sorted(asked.values(), key=lambda row: row.request_id)
            ],
        },
        entries=[Entry(row.line.upper(), row.longitude / 1e6, row.latitude / 1e6) for row in new],
    )


def _waves(
    first: dict[Any, Any_Row], second: Any
) -> tuple[Mapping[Any, Any_Row], Mapping[Any, Any_Row], Mapping[Any, Any_Row]]:
    """A merged table: the rows of both waves, and those that the second read reads again."""
    later = second(first)
    return first, later, {key: row for key, row in later.items() if row.updated_at >= READ_TO - OVERLAP}


def _read(waves: Sequence[Mapping[Any, Any_Row]]) -> list[Any_Row]:
    """The rows of both reads."""
    return [row for read in (waves[0], waves[2]) for row in read.values()]


def _merged(waves: Sequence[Mapping[Any, Any_Row]]) -> dict[Any, Any_Row]:
    """The table after both reads."""
    return {row.key: row for row in _read(waves) if row.fault is None}


def _totals(rows: Iterable[Row], *, current: int) -> TableTotals:
    faults = [(str(row.key), row.fault) for row in rows]
    rejects = tuple(PlantedRow(row=key, column=fault) for key, fault in faults if fault)
    loaded = len(faults) - len(rejects)
    return TableTotals(
        current=current, rows_read=len(faults), rows_loaded=loaded, rejects=len(rejects), rejected=rejects
    )


def _lies_in(row: ServiceRequest, listed: Mapping[int, Address]) -> str:
    house = listed.get(row.at.address_id) if row.at else None
    return str(house.neighborhood) if house else "unknown"


def _neighborhoods(
    permits: Mapping[str, Permit],
    violations: Mapping[str, Violation],
    requests: Mapping[int, ServiceRequest],
    assessments: Mapping[str, Assessment],
    listed: Mapping[int, Address],
) -> list[dict[str, Any]]:
    """The city's tables by neighborhood, as the register now lists the addresses."""

    def place(address_id: int) -> str:
        return str(listed[address_id].neighborhood) if address_id in listed else "unknown"

    houses = Counter(str(row.neighborhood) for row in listed.values())
    granted = Counter(place(row.address_id) for row in permits.values())
    open_found = Counter(place(row.address_id) for row in violations.values() if row.status == "open")
    asked = Counter(_lies_in(row, listed) for row in requests.values())
    waiting = Counter(_lies_in(row, listed) for row in requests.values() if row.status == "open")
    value: Counter[str] = Counter()
    for row in assessments.values():
        value[place(row.address_id)] += row.land_value + int(row.building_value)
    return [
        {
            "neighborhood": name,
            "addresses": houses[name],
            "assessed_value": str(Decimal(value[name]).quantize(Decimal("0.01"))),
            "permits": granted[name],
            "open_violations": open_found[name],
            "service_requests": asked[name],
            "open_service_requests": waiting[name],
        }
        for name in sorted({*houses, *granted, *open_found, *asked, *value})
    ]


def _by_neighborhood(permits: Iterable[Permit], listed: Mapping[int, Address]) -> list[dict[str, Any]]:
    """Permits and their cost by neighborhood, as the register now lists the addresses."""
    groups: dict[str, list[Permit]] = {}
    for permit in permits:
        address = listed.get(permit.address_id)
        groups.setdefault(str(address.neighborhood) if address else "unknown", []).append(permit)
    return [
        {
            "neighborhood": name,
            "permits": len(own),
            "open_permits": sum(permit.status in ("applied", "issued") for permit in own),
            "cost": str(Decimal(sum(permit.cost for permit in own if isinstance(permit.cost, int))).scaleb(-2)),
        }
        for name, own in sorted(groups.items())
    ]


def _put(folder: Path, wave: int, table: str, rows: Iterable[Row]) -> TableState:
    path = f"wave-{wave}/{SOURCE}/{table}.copy"
    content = "".join("\t".join(map(_field, row.values())) + "\n" for row in rows).encode()
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_bytes(content)
    return TableState(wave=wave, table=table, path=path, sha256=hashlib.sha256(content).hexdigest())


def _field(value: Any) -> str:
    """A value in COPY's text format (https://www.postgresql.org/docs/current/sql-copy.html)."""
    if value is None:
        return r"\N"
    text = value.isoformat() if isinstance(value, date) else str(value)  # a datetime is a date
    return text.replace("\\", r"\\").replace("\t", r"\t").replace("\n", r"\n").replace("\r", r"\r")
