"""Doubles of Airtable and Knack that files describe, one for each connection: `<service>.<connection>.json` has its key
and the tables that are declared, without records; `<service>.<connection>.records.json`, if there is one, has what
somebody put into it, fields and records. Each is read again when it changes.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from data_platform.feeds.web_apis import AirtableTableSpec, WebTableSpec
from data_platform.local_cloud.web.airtable import READ, SCHEMA, Airtable, Field, Record, Table, Token
from data_platform.local_cloud.web.knack import Knack, KnackField, KnackObject
from data_platform.local_cloud.web.server import Service


def name_of(feed: WebTableSpec) -> str:
    """The double's name, which begins its path."""
    return f"{feed.kind}.{feed.connection}"


def user_of(name: str) -> str:
    """The user of a connection's URL: Knack's application id; Airtable has none."""
    return hashlib.sha256(name.encode()).hexdigest()[:24] if name.startswith("knack.") else ""


def descriptions(feeds: Iterable[WebTableSpec]) -> dict[str, dict[str, Any]]:
    """{name: the tables that feeds declare}, each with their fields and no record."""
    found: dict[str, dict[str, Any]] = {}
    for feed in feeds:
        fields = [
            {"id": column.header, "name": column.name, "type": "singleLineText"}
            for column in feed.contract.columns
            if column.header not in feed.record_fields
        ]
        place = found.setdefault(name_of(feed), {})
        if isinstance(feed, AirtableTableSpec):
            place.setdefault(feed.base, []).append({"id": feed.from_, "name": feed.table, "fields": fields})
        else:
            place.setdefault("objects", []).append({"id": feed.from_, "name": feed.table, "fields": fields})
    return found


class StoredApis:
    """The doubles that a folder's files describe. For several threads."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._lock = folder, threading.Lock()
        self._made: dict[str, tuple[object, Service]] = {}

    def __call__(self, name: str) -> Service | None:
        """The double of that name, or None."""
        described, stored = (self._folder / f"{name}{ending}" for ending in (".json", ".records.json"))
        if "/" in name or not described.exists():
            return None
        with self._lock:
            state = tuple(path.stat().st_mtime_ns if path.exists() else 0 for path in (described, stored))
            if name not in self._made or self._made[name][0] != state:
                given = json.loads(described.read_text(encoding="utf-8"))
                tables = json.loads(stored.read_text(encoding="utf-8")) if stored.exists() else given["tables"]
                self._made[name] = (state, _service(name, given["key"], tables))
            return self._made[name][1]


def _service(name: str, key: str, tables: Mapping[str, list[dict[str, Any]]]) -> Service:
    made: Airtable | Knack
    if name.startswith("airtable."):
        bases = {base: [_table(table) for table in of] for base, of in tables.items()}
        made = Airtable(bases, {key: Token(frozenset((READ, SCHEMA)), frozenset(bases))})
    else:
        made = Knack(user_of(name), key, [_object(each) for each in tables["objects"]])
    made.name = name
    return made


def _table(table: Mapping[str, Any]) -> Table:
    fields = [Field(each["id"], each["name"], each["type"], each.get("options")) for each in table["fields"]]
    records = [Record(each["id"], each["values"], each["created"]) for each in table.get("records", ())]
    return Table(table["id"], table["name"], fields, records)


def _object(each: Mapping[str, Any]) -> KnackObject:
    fields = [KnackField(field["id"], field["name"], field["type"]) for field in each["fields"]]
    return KnackObject(each["id"], each["name"], fields, list(each.get("records", ())))
