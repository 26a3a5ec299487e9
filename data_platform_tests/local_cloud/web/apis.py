"""Doubles with data, on a clock that tests set."""

from __future__ import annotations

import threading
from typing import Any

from data_platform.local_cloud.web.airtable import READ, SCHEMA, Airtable, Field, Record, Table, Token
from data_platform.local_cloud.web.knack import Knack, KnackField, KnackObject, date_time

BASE, TABLE, TOKEN = "appMeridian0000001", "tblProgrammes00001", "patGood.secret"
NAME, ACTIVE, BUDGET, TAGS = "fldName0000000001", "fldActive00000001", "fldBudget00000001", "fldTags0000000001"
APPLICATION, KEY = "5f0c000000000000000000aa", "0123-knack-key"


class Clock:
    """Seconds that pass only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.slept: list[float] = []
        self._lock = threading.Lock()

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.slept.append(seconds)
            self.now += seconds


def airtable(rows: int, clock: Clock, **given: Any) -> Airtable:
    """A base with one table of so many records."""
    fields = [
        Field(NAME, "Name", "singleLineText"),
        Field(ACTIVE, "Active", "checkbox", {"icon": "check", "color": "greenBright"}),
        Field(BUDGET, "Budget", "currency", {"precision": 2, "symbol": "$"}),
        Field(TAGS, "Tags", "multipleSelects", {"choices": [{"name": "youth"}]}),
    ]
    table = Table(TABLE, "Programmes", fields, [record(number) for number in range(rows)])
    token = Token(frozenset((READ, SCHEMA)), frozenset((BASE,)))
    return Airtable({BASE: [table]}, {TOKEN: token}, clock=clock, **given)


def record(number: int) -> Record:
    values = {NAME: f"Programme {number}", ACTIVE: number % 2 == 0, BUDGET: number * 10, TAGS: ["youth"]}
    return Record(f"rec{number:014d}", values)


def knack(rows: int, clock: Clock, **given: Any) -> Knack:
    """An application with one object, object_1, of so many records."""
    fields = [
        KnackField("field_1", "Name", "short_text"),
        KnackField("field_2", "Opened", "date_time"),
        KnackField("field_3", "Site", "connection"),
    ]
    records = [knack_record(number) for number in range(rows)]
    return Knack(APPLICATION, KEY, [KnackObject("object_1", "Grants", fields, records)], clock=clock, **given)


def knack_record(number: int) -> dict[str, Any]:
    return {
        "id": f"{number:024x}",
        "field_1": f"Grant {number}",
        "field_2": date_time("2026-03-07T10:30:00"),
        "field_3": [{"id": "5f0c", "identifier": "Town hall"}],
    }
