"""Knack's REST API: the records of objects, and an application's schema.

From its documentation: https://docs.knack.com/docs/pagination, /response-format, /api-limits, /working-with-fields.
Knack's pages don't describe the application's schema, nor that times lack their zone; this does:
https://cityofaustin.github.io/knackpy/docs/user-guide/.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from math import ceil
from typing import Any

from data_platform.local_cloud.web.rates import Rate
from data_platform.local_cloud.web.server import Request, Response

REQUESTS_A_SECOND = 10
"""Of an application, on every plan (/api-limits)."""
MOST_ROWS, DEFAULT_ROWS = 1_000, 25
"""Of a page (/pagination)."""
_DAY = 86_400


@dataclass
class KnackField:
    """A field of an object. `type`: Knack's name of it, such as `date_time`."""

    key: str
    name: str
    type: str


@dataclass
class KnackObject:
    """An object; `records` in the order in which they are listed: each has its `id`, and raw values by the fields'
    keys."""

    key: str
    name: str
    fields: list[KnackField]
    records: list[dict[str, Any]] = field(default_factory=list)


class Knack:
    """One application. `daily`: the requests that its plan allows in a day. `clock`: seconds."""

    name: str = "knack"

    def __init__(
        self,
        application: str,
        key: str,
        objects: list[KnackObject],
        *,
        daily: int = 25_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.application, self.objects = application, objects
        self.left_today, self._daily = daily, daily
        self._key, self._clock = key, clock
        self._lock = threading.Lock()
        self._rate = Rate(REQUESTS_A_SECOND)

    def answer(self, request: Request) -> Response:
        """Answers `v1/objects/<key>/records` and `v1/applications/<id>`."""
        with self._lock:
            match request.path.split("/"):
                case ["v1", "applications", id] if request.method == "GET":
                    return Response(200, self._schema()) if id == self.application else _error(404, "Not found")
                case ["v1", "objects", key, "records"] if request.method == "GET":
                    return self._refusal(request) or self._records(request, key)
            return _error(404, "Not found")

    def _schema(self) -> dict[str, Any]:
        objects = [
            {
                "key": each.key,
                "name": each.name,
                "fields": [{"key": one.key, "name": one.name, "type": one.type} for one in each.fields],
            }
            for each in self.objects
        ]
        return {"application": {"id": self.application, "objects": objects}}

    def _refusal(self, request: Request) -> Response | None:
        if request.headers.get("x-knack-application-id") != self.application:
            return _error(401, "Invalid application id")
        if request.headers.get("x-knack-rest-api-key") != self._key:
            return _error(401, "Invalid API key")
        if self.left_today <= 0 or self._rate.exceeded(self._clock()):
            return Response(429, {"errors": [{"message": "Rate limit exceeded"}]}, self._limits())
        self.left_today -= 1
        return None

    def _limits(self) -> dict[str, str]:
        """The headers of /api-limits: the plan's reset is in milliseconds from now, the second's is Unix time."""
        return {
            "X-PlanLimit-Limit": str(self._daily),
            "X-PlanLimit-Remaining": str(self.left_today),
            "X-PlanLimit-Reset": str(int((_DAY - self._clock() % _DAY) * 1000)),
            "X-RateLimit-Limit": str(REQUESTS_A_SECOND),
            "X-RateLimit-Remaining": str(self._rate.left),
            "X-RateLimit-Reset": str(ceil(self._clock()) + 1),
        }

    def _records(self, request: Request, key: str) -> Response:
        found = next((each for each in self.objects if each.key == key), None)
        if found is None:
            return _error(404, "Object not found")
        rows, page = request.one("rows_per_page") or str(DEFAULT_ROWS), request.one("page") or "1"
        if not rows.isdigit() or not page.isdigit() or not int(page):
            return _error(400, "page and rows_per_page must be numbers")
        size, number = min(max(int(rows), 1), MOST_ROWS), int(page)
        shown = [
            self._shown(found, record, request.one("format") or "both")
            for record in found.records[(number - 1) * size : number * size]
        ]
        body = {
            "total_pages": ceil(len(found.records) / size),
            "current_page": number,
            "total_records": len(found.records),
            "records": shown,
        }
        return Response(200, body, self._limits())

    @staticmethod
    def _shown(found: KnackObject, record: dict[str, Any], format: str) -> dict[str, Any]:
        """A record: raw values, and with format `both` formatted ones beside them."""
        shown: dict[str, Any] = {"id": record["id"]}
        for each in found.fields:
            if each.key not in record:
                continue
            value = record[each.key]
            if format == "raw":
                shown[each.key] = value
            else:
                shown[each.key] = value if isinstance(value, str) else str(value)
                shown[f"{each.key}_raw"] = value
        return shown


def date_time(wall: str) -> dict[str, Any]:
    """A raw date/time of the clock on the wall, `2026-03-07T10:30:00`: Knack's Unix time counts as if it were UTC."""
    moment = datetime.fromisoformat(wall + "+00:00")
    return {
        "date": moment.strftime("%m/%d/%Y"),
        "hours": moment.strftime("%I"),
        "minutes": moment.strftime("%M"),
        "am_pm": moment.strftime("%p"),
        "unix_timestamp": int(moment.timestamp() * 1000),
        "timestamp": moment.strftime("%m/%d/%Y %I:%M %p").lower(),
    }


def _error(status: int, message: str) -> Response:
    return Response(status, {"errors": [{"message": message}]})
