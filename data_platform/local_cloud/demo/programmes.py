"""The city's community programmes, with their defects: a base of Airtable with the programmes, and an application of
Knack with the grants that pay for them and the sessions that they hold. They don't change between waves.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from data_platform.local_cloud.demo.key import PlantedRow, StoredTables, TableTotals
from data_platform.local_cloud.web.knack import date_time

PROGRAMMES, GRANTS, SESSIONS = (
    "community_programmes/programmes",
    "community_grants/grants",
    "community_grants/sessions",
)
BASE, TABLE = "appPortMeridian001", "tblProgrammes00001"
_COUNTS = {PROGRAMMES: 1_040, GRANTS: 1_300, SESSIONS: 1_150}

_CATEGORIES = ("arts", "sport", "language", "repair", "food", "seniors")
_AUDIENCES = ("children", "youth", "families", "seniors", "newcomers")
_NEIGHBORHOODS = ("Gasworks", "Hospital Hill", "North Quay", "Orchard", "Saltmarsh", "Uplands")
_NAMES = ("Open Kitchen", "Night School", "Boat Repair", "Choir", "Chess Club", "Allotments", "Café Français", "水彩")
_FIELDS = {
    "name": ("fldName0000000001", "Name", "singleLineText"),
    "category": ("fldCategory000001", "Category", "singleSelect"),
    "audiences": ("fldAudiences00001", "Audiences", "multipleSelects"),
    "neighborhood": ("fldNeighborhood01", "Neighborhood", "singleSelect"),
    "partners": ("fldPartners000001", "Partner programmes", "multipleRecordLinks"),
    "flyers": ("fldFlyers00000001", "Flyers", "multipleAttachments"),
    "budget": ("fldBudget00000001", "Annual budget", "currency"),
    "seats": ("fldSeats000000001", "Seats", "number"),
    "cost_per_seat": ("fldCostPerSeat001", "Cost per seat", "formula"),
    "active": ("fldActive00000001", "Active", "checkbox"),
    "starts_on": ("fldStarts00000001", "Starts", "date"),
    "updated_at": ("fldUpdated0000001", "Last change", "lastModifiedTime"),
    "waitlist_from": ("fldWaitlist000001", "Waitlist from", "date"),
}
_OPTIONS: dict[str, dict[str, Any]] = {
    "currency": {"precision": 2, "symbol": "$"},
    "number": {"precision": 0},
    "formula": {"isValid": True, "result": {"type": "number", "options": {"precision": 2}}},
    "lastModifiedTime": {"isValid": True, "result": {"type": "dateTime"}},
}


@dataclass(frozen=True)
class Programmes:
    """What the services hold, in files, and what the tables come to in the platform."""

    stored: tuple[StoredTables, ...]
    totals: dict[str, TableTotals]
    tables: dict[str, int]
    by_neighborhood: list[dict[str, Any]]


def make(folder: Path, seed: int) -> Programmes:
    """Writes the records of both services, as their doubles read them."""
    base, programmes = _base(np.random.default_rng([seed, 20]))
    objects, grants, sessions = _application(np.random.default_rng([seed, 21]))
    totals = {PROGRAMMES: _totals(PROGRAMMES, programmes), GRANTS: _totals(GRANTS, grants)}
    totals[SESSIONS] = _totals(SESSIONS, sessions)
    return Programmes(
        stored=(
            _put(folder, "airtable.community_programmes", {BASE: [base]}),
            _put(folder, "knack.community_grants", {"objects": objects}),
        ),
        totals=totals,
        tables={name: total.rows_loaded for name, total in totals.items()},
        by_neighborhood=_by_neighborhood(_loaded(base["records"], programmes), _loaded(objects[0]["records"], grants)),
    )


def _loaded(records: Iterable[dict[str, Any]], rejects: Iterable[PlantedRow]) -> list[dict[str, Any]]:
    gone = {planted.row for planted in rejects}
    return [record for record in records if record["id"] not in gone]


def _by_neighborhood(programmes: list[dict[str, Any]], grants: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Programmes, and what they were granted, by neighborhood."""
    place = {each["id"]: each["values"][_FIELDS["neighborhood"][0]] or "unknown" for each in programmes}
    running = Counter(place[each["id"]] for each in programmes if each["values"][_FIELDS["active"][0]])
    there, granted, amount = Counter(place.values()), Counter[str](), Counter[str]()
    for grant in grants:
        if grant["field_4"] == "granted":
            where = place.get(grant["field_2"], "unknown")
            granted[where] += 1
            amount[where] += round(float(grant["field_3"]) * 100)
    return [
        {
            "neighborhood": name,
            "programmes": there[name],
            "active_programmes": running[name],
            "grants": granted[name],
            "granted": str(Decimal(amount[name]).scaleb(-2)),
        }
        for name in sorted({*there, *granted})
    ]


def _base(random: np.random.Generator) -> tuple[dict[str, Any], list[PlantedRow]]:
    """The base's table, and the records that must become rejects."""
    count = _COUNTS[PROGRAMMES]
    ids = [f"rec{number:014d}" for number in range(1, count + 1)]
    kinds = random.integers(0, len(_CATEGORIES), count).tolist()
    budgets = random.integers(50_000, 9_000_000, count).tolist()  # cents
    seats = random.integers(6, 60, count).tolist()
    ages = random.integers(0, 900, count).tolist()
    rejects = []
    records = []
    for at, id in enumerate(ids):
        budget = budgets[at] / 100
        values: dict[str, Any] = {
            "name": f"{_NAMES[at % len(_NAMES)]} {at + 1}",
            "category": _CATEGORIES[kinds[at]],
            "audiences": list(_AUDIENCES[at % 5 : at % 5 + 1 + at % 3]) if at % 11 else [],
            "neighborhood": _NEIGHBORHOODS[at % len(_NEIGHBORHOODS)] if at % 50 else None,
            "partners": [ids[(at + step) % count] for step in range(1, 1 + at % 3)],
            "flyers": [_attachment(id)] if at % 4 == 0 else [],
            "budget": budget,
            "seats": seats[at],
            "cost_per_seat": round(budget / seats[at], 2),
            "active": at % 5 != 0,
            "starts_on": (date(2024, 5, 1) + timedelta(days=ages[at])).isoformat(),
            "updated_at": f"2026-{1 + at % 10:02d}-{1 + at % 28:02d}T14:{at % 60:02d}:07.123Z",
        }
        if at in (17, 403, 998):  # nobody has said how many fit in: the formula divides by zero
            values |= {"seats": 0, "cost_per_seat": {"specialValue": "Infinity"}}
            rejects.append(PlantedRow(row=id, column="cost_per_seat"))
        if at in (60, 777):
            values["name"] = ""
            rejects.append(PlantedRow(row=id, column="name"))
        if at >= count - 12:  # a field of late: most records don't have it
            values["waitlist_from"] = "2026-10-01"
        by_id = {_FIELDS[name][0]: value for name, value in values.items()}
        records.append({"id": id, "created": f"2024-0{1 + at % 9}-11T09:00:00.000Z", "values": by_id})
    fields = [
        {"id": id, "name": name, "type": type_, "options": _OPTIONS.get(type_)} for id, name, type_ in _FIELDS.values()
    ]
    return {"id": TABLE, "name": "Programmes", "fields": fields, "records": records}, rejects


def _application(
    random: np.random.Generator,
) -> tuple[list[dict[str, Any]], list[PlantedRow], list[PlantedRow]]:
    """The application's objects, and the records of each that must become rejects."""
    grants, bad_grants = _grants(random)
    sessions, bad_sessions = _sessions(random)
    objects = [
        {
            "id": "object_1",
            "name": "Grants",
            "fields": _fields(
                ("field_1", "Title", "short_text"),
                ("field_2", "Programme", "short_text"),
                ("field_3", "Amount", "currency"),
                ("field_4", "Status", "multiple_choice"),
                ("field_5", "Applied at", "date_time"),
                ("field_6", "Decided on", "date_time"),
                ("field_7", "Purposes", "multiple_choice"),
                ("field_8", "Final report", "file"),
            ),
            "records": grants,
        },
        {
            "id": "object_2",
            "name": "Sessions",
            "fields": _fields(
                ("field_11", "Grant", "connection"),
                ("field_12", "Held at", "date_time"),
                ("field_13", "People", "number"),
                ("field_14", "Notes", "paragraph_text"),
            ),
            "records": sessions,
        },
    ]
    return objects, bad_grants, bad_sessions


def _grants(random: np.random.Generator) -> tuple[list[dict[str, Any]], list[PlantedRow]]:
    count = _COUNTS[GRANTS]
    amounts = random.integers(500, 50_000, count).tolist()
    records, rejects = [], []
    for at in range(count):
        id, wall = _grant(at), datetime(2026, 1, 5, 9, 30) + timedelta(hours=5 * at, minutes=at % 60)
        status = ("applied", "granted", "granted", "refused")[at % 4]
        decided = status != "applied"
        record: dict[str, Any] = {
            "id": id,
            "field_1": f"Grant {at + 1}",
            "field_2": f"rec{1 + at % _COUNTS[PROGRAMMES]:014d}",
            "field_3": f"{amounts[at]}.50",
            "field_4": status,
            "field_5": date_time(_existing(wall).isoformat()),
            "field_6": date_time((wall + timedelta(days=30)).date().isoformat()) if decided else "",
            "field_7": ["rent", "wages"] if at % 3 else ["material"],
        }
        if at >= count - 9:  # a field of late
            record["field_8"] = {"id": f"file{at}", "filename": f"report {at}.pdf", "size": 1_000 + at}
        if at == 30:  # entered in a night in which clocks skipped this time
            record["field_5"] = date_time("2026-03-08T02:30:00")
            rejects.append(PlantedRow(row=id, column="applied_at"))
        if at in (31, 800):
            record["field_4"] = ""
            rejects.append(PlantedRow(row=id, column="status"))
        records.append(record)
    return records, rejects


def _sessions(random: np.random.Generator) -> tuple[list[dict[str, Any]], list[PlantedRow]]:
    count = _COUNTS[SESSIONS]
    people = random.integers(2, 80, count).tolist()
    records, rejects = [], []
    for at in range(count):
        id = f"{0x6A00_0000_0000 + at:024x}"
        grant = at % _COUNTS[GRANTS]
        record: dict[str, Any] = {
            "id": id,
            "field_11": [{"id": _grant(grant), "identifier": f"Grant {grant + 1}"}],
            "field_12": date_time(_existing(datetime(2026, 2, 2, 18) + timedelta(hours=6 * at)).isoformat()),
            "field_13": people[at],
            "field_14": "Line one\nLine “two”" if at % 6 == 0 else "",
        }
        if at == 12:  # a telephone number, in the wrong box
            record["field_13"] = 2_155_550_123
            rejects.append(PlantedRow(row=id, column="people"))
        records.append(record)
    return records, rejects


def _existing(wall: datetime) -> datetime:
    """The time, or an hour later where the city's clocks skip or repeat it."""
    odd = wall.date() in (date(2026, 3, 8), date(2026, 11, 1)) and wall.hour in (1, 2)
    return wall.replace(hour=4) if odd else wall


def _grant(at: int) -> str:
    return f"{0x5F00_0000_0000 + at:024x}"


def _attachment(record: str) -> dict[str, Any]:
    return {
        "id": f"att{record[3:]}",
        "url": f"https://dl.example.org/{record}/flyer.pdf",
        "filename": "flyer.pdf",
        "size": 40_960,
        "type": "application/pdf",
    }


def _fields(*fields: tuple[str, str, str]) -> list[dict[str, Any]]:
    return [{"id": id, "name": name, "type": type_} for id, name, type_ in fields]


def _totals(name: str, rejects: Iterable[PlantedRow]) -> TableTotals:
    rejected, read = tuple(rejects), _COUNTS[name]
    return TableTotals(
        current=1, rows_read=read, rows_loaded=read - len(rejected), rejects=len(rejected), rejected=rejected
    )


def _put(folder: Path, name: str, tables: dict[str, Any]) -> StoredTables:
    path = f"wave-1/web/{name}.json"
    content = json.dumps(tables, ensure_ascii=False).encode()
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_bytes(content)
    return StoredTables(name=name, path=path, sha256=hashlib.sha256(content).hexdigest())
