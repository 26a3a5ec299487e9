"""The city's register, with its defects: the tables `addresses` and `permits` as they are at each wave."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from data_platform.local_cloud.demo.addresses import Address, first_addresses, second_addresses
from data_platform.local_cloud.demo.key import PlantedRow, TableState, TableTotals
from data_platform.local_cloud.demo.permits import OVERLAP, READ_TO, Permit, first_permits, second_permits

SOURCE = "city_records"
ADDRESSES, PERMITS = f"{SOURCE}/addresses", f"{SOURCE}/permits"


@dataclass(frozen=True)
class Register:
    """The tables at both waves, and what they come to in the platform."""

    states: tuple[TableState, ...]
    totals: dict[str, TableTotals]
    tables: dict[str, int]
    by_neighborhood: list[dict[str, Any]]


def make(folder: Path, addresses: int, permits: int, seed: int) -> Register:
    """Writes the tables' rows for both waves, as PostgreSQL's COPY takes them."""
    old = first_addresses(addresses, seed)
    new = second_addresses(old)
    first = first_permits(permits, addresses, seed)
    second = second_permits(first, addresses)
    read_again = {key: row for key, row in second.items() if row.updated_at >= READ_TO - OVERLAP}
    merged = {key: row for read in (first, read_again) for key, row in read.items() if row.fault is None}
    listed = {row.address_id: row for row in new if row.fault is None}
    return Register(
        states=(
            _put(folder, 1, "addresses", old),
            _put(folder, 1, "permits", first.values()),
            _put(folder, 2, "addresses", new),
            _put(folder, 2, "permits", second.values()),
        ),
        totals={
            ADDRESSES: _totals(((row.address_id, row.fault) for row in new), current=1),
            PERMITS: _totals(
                ((row.permit_id, row.fault) for read in (first, read_again) for row in read.values()), current=2
            ),
        },
        tables={ADDRESSES: len(listed), PERMITS: len(merged)},
        by_neighborhood=_by_neighborhood(merged.values(), listed),
    )


def _totals(rows: Iterable[tuple[Any, str | None]], *, current: int) -> TableTotals:
    faults = [(str(key), fault) for key, fault in rows]
    rejects = tuple(PlantedRow(row=key, column=fault) for key, fault in faults if fault)
    loaded = len(faults) - len(rejects)
    return TableTotals(
        current=current, rows_read=len(faults), rows_loaded=loaded, rejects=len(rejects), rejected=rejects
    )


def _by_neighborhood(permits: Iterable[Permit], listed: dict[int, Address]) -> list[dict[str, Any]]:
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


def _put(folder: Path, wave: int, table: str, rows: Iterable[Address | Permit]) -> TableState:
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
