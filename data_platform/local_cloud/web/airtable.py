"""Airtable's Web API: lists the records of tables, and a base's schema.

From its documentation: https://airtable.com/developers/web/api/list-records (pages, offsets, empty values, names or ids
of tables and fields), /get-base-schema, /errors, /rate-limits, and https://support.airtable.com/docs/airtable-api-common-troubleshooting.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from data_platform.local_cloud.web.rates import Rate
from data_platform.local_cloud.web.server import Request, Response

REQUESTS_A_SECOND = 5
"""For each base (/rate-limits)."""
LOCKOUT_SECONDS = 30.0
"""After a request too many, how long every request to the base is refused (/rate-limits)."""
MOST_RECORDS = 100
"""Of a page (/list-records)."""
READ, SCHEMA = "data.records:read", "schema.bases:read"


@dataclass(frozen=True)
class Token:
    """A personal access token: what it may do, and with which bases."""

    scopes: frozenset[str]
    bases: frozenset[str]


@dataclass
class Field:
    """A field of a table. `type`: Airtable's name of it, such as `multipleSelects`."""

    id: str
    name: str
    type: str
    options: dict[str, Any] | None = None


@dataclass
class Record:
    """A record; `values` by the fields' ids."""

    id: str
    values: dict[str, Any]
    created: str = "2026-01-01T00:00:00.000Z"


@dataclass
class Table:
    """A table; `records` in the order in which they are listed."""

    id: str
    name: str
    fields: list[Field]
    records: list[Record] = field(default_factory=list)


@dataclass
class _Limit:
    rate: Rate
    locked_until: float = float("-inf")


class Airtable:
    """`bases`: the tables of each base, by the base's id. `tokens`: by their text. `clock`: seconds.

    `iterator_seconds`: how long an offset is good for. Airtable doesn't say; it says that an iteration may time out."""

    name: str = "airtable"

    def __init__(
        self,
        bases: dict[str, list[Table]],
        tokens: dict[str, Token],
        *,
        iterator_seconds: float = 300.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.bases, self.tokens = bases, tokens
        self.iterator_seconds = iterator_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._limits = {base: _Limit(Rate(REQUESTS_A_SECOND)) for base in bases}
        self._iterators: dict[str, float] = {}
        self._ids = itertools.count(1)

    def answer(self, request: Request) -> Response:
        """Answers `v0/<base>/<table>` and `v0/meta/bases/<base>/tables`."""
        with self._lock:
            match request.path.split("/"):
                case ["v0", "meta", "bases", base, "tables"] if request.method == "GET":
                    return self._refusal(request, base, SCHEMA) or Response(200, self._schema(base))
                case ["v0", base, table] if request.method == "GET":
                    return self._refusal(request, base, READ) or self._list(request, base, table)
            return Response(404, {"error": "NOT_FOUND"})

    def expire_iterators(self) -> None:
        """As when Airtable restarts its servers: no offset that was given is good any more."""
        with self._lock:
            self._iterators.clear()

    def _refusal(self, request: Request, base: str, scope: str) -> Response | None:
        kind, _, text = request.headers.get("authorization", "").partition(" ")
        if kind != "Bearer" or not text:
            return _error(401, "AUTHENTICATION_REQUIRED", "Authentication required")
        token = self.tokens.get(text)
        if token is None:
            return _error(401, "UNAUTHORIZED", "Invalid authentication token")
        if base not in self.bases or base not in token.bases or scope not in token.scopes:
            return _not_permitted()
        limit, now = self._limits[base], self._clock()
        if now < limit.locked_until or limit.rate.exceeded(now):
            if now >= limit.locked_until:
                limit.locked_until = now + LOCKOUT_SECONDS
            return _error(429, "RATE_LIMIT_REACHED", "Rate limit exceeded. Please try again later")
        return None

    def _schema(self, base: str) -> dict[str, Any]:
        return {
            "tables": [
                {
                    "id": table.id,
                    "name": table.name,
                    "primaryFieldId": table.fields[0].id,
                    "fields": [
                        {"id": each.id, "name": each.name, "type": each.type}
                        | ({"options": each.options} if each.options is not None else {})
                        for each in table.fields
                    ],
                    "views": [],
                }
                for table in self.bases[base]
            ]
        }

    def _list(self, request: Request, base: str, named: str) -> Response:
        table = next((table for table in self.bases[base] if named in (table.id, table.name)), None)
        if table is None:
            return _not_permitted()
        size = request.one("pageSize") or str(MOST_RECORDS)
        if not size.isdigit() or not 1 <= int(size) <= MOST_RECORDS:
            return _error(422, "INVALID_REQUEST_UNKNOWN", f"pageSize must be between 1 and {MOST_RECORDS}")
        wanted = request.query.get("fields[]")
        for name in wanted or ():
            if all(name not in (each.id, each.name) for each in table.fields):
                return _error(422, "UNKNOWN_FIELD_NAME", f'Unknown field name: "{name}"')
        unknown = set(request.query) - {"pageSize", "offset", "fields[]", "returnFieldsByFieldId"}
        if unknown:
            return _error(422, "INVALID_REQUEST_UNKNOWN", f"this double knows no {', '.join(sorted(unknown))}")
        return self._page(table, int(size), request.one("offset"), wanted, request.one("returnFieldsByFieldId"))

    def _page(
        self, table: Table, size: int, offset: str | None, wanted: list[str] | None, by_id: str | None
    ) -> Response:
        """An offset is an iterator's id and the record with which the page begins (itr.../rec...): records that come
        or go before it shift nothing, and one that is gone can't be found again."""
        iterator, _, begin = offset.partition("/") if offset else (f"itr{next(self._ids):014d}", "", "")
        ids = [record.id for record in table.records]
        if offset:
            expires = self._iterators.get(iterator)
            if expires is None or self._clock() > expires or begin not in ids:
                message = "The record iterator is no longer available; restart the iteration from the beginning"
                return _error(422, "LIST_RECORDS_ITERATOR_NOT_AVAILABLE", message)
        at = ids.index(begin) if offset else 0
        page = table.records[at : at + size]
        body: dict[str, Any] = {"records": [_shown(table, record, wanted, by_id == "true") for record in page]}
        if at + size < len(ids):
            self._iterators[iterator] = self._clock() + self.iterator_seconds
            body["offset"] = f"{iterator}/{ids[at + size]}"
        return Response(200, body)


def _shown(table: Table, record: Record, wanted: list[str] | None, by_id: bool) -> dict[str, Any]:
    """A record as it is listed: fields with an empty value ("", [], false) are left out."""
    values = {
        each.id if by_id else each.name: record.values[each.id]
        for each in table.fields
        if not _empty(record.values.get(each.id)) and (wanted is None or each.id in wanted or each.name in wanted)
    }
    return {"id": record.id, "createdTime": record.created, "fields": values}


def _empty(value: Any) -> bool:
    return value is None or value is False or value == "" or value == []


def _not_permitted() -> Response:
    message = (
        "Invalid permissions, or the requested model was not found. Check that both your user and your token have the"
        " required permissions, and that the model names and/or ids are correct."
    )
    return _error(403, "INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND", message)


def _error(status: int, type: str, message: str) -> Response:
    return Response(status, {"error": {"type": type, "message": message}})
