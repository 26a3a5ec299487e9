"""Knack's REST API: the pages of an object.

https://docs.knack.com/docs/pagination: pages of up to 1,000, by number, with the count of all records; a record that is
added or deleted shifts those behind it. /api-limits: 10 requests a second, and so many a day. /response-format: fields
by their keys, raw values.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from data_platform.extract.web.client import Address, Api, ApiClient, ApiFailed
from data_platform.extract.web.spool import ReadAgain, Spool
from data_platform.feeds.file_contract import FileColumn
from data_platform.feeds.web_apis import KnackObjectSpec

ROWS = 1_000
_KEYS = "check the connection: its user is the application's id, and its password the API key"


def _headers(address: Address) -> Mapping[str, str]:
    return {"X-Knack-Application-Id": address.user, "X-Knack-REST-API-Key": address.secret}


def _quota(headers: Mapping[str, str]) -> str | None:
    """The plan's requests of a day (/api-limits: X-PlanLimit-Reset is in milliseconds)."""
    if headers.get("X-PlanLimit-Remaining") != "0":
        return None
    reset = headers.get("X-PlanLimit-Reset", "")
    when = f" There are more in {int(reset) / 3_600_000:.1f} hours." if reset.isdigit() else ""
    return f"the application's requests for today are used up.{when} Nothing of this read is kept; read it again then"


# 8 a second, not 10: requests that go at even times don't arrive so.
KNACK = Api(
    name="Knack",
    per_second=8.0,
    headers=_headers,
    lockout_seconds=1.0,
    advice={
        400: "check the object's key",
        401: _KEYS,
        403: _KEYS,
        404: "check the object's key, such as object_12, and the application's id",
    },
    quota=_quota,
)


def application_objects(client: ApiClient, subject: str) -> list[dict[str, Any]]:
    """The objects of the application, with their fields. Raises ApiFailed."""
    answer = client.get(f"v1/applications/{client.address.user}", {}, subject)
    return list(answer.get("application", {}).get("objects", ()))


class KnackPages:
    """Reads one object."""

    def __init__(self, feed: KnackObjectSpec, client: ApiClient) -> None:
        self._feed, self._client = feed, client

    def fields(self) -> dict[str, str]:
        """The labels of the object's fields, by their keys."""
        subject = f"{self._feed.name}: the fields of {self._feed.from_}"
        objects = {each["key"]: each for each in application_objects(self._client, subject)}
        if self._feed.from_ not in objects:
            there = ", ".join(f"{key} ({each['name']})" for key, each in objects.items()) or "none"
            raise ApiFailed(f"{subject}: the application has no such object; it has {there}")
        return {each["key"]: each["name"] for each in objects[self._feed.from_]["fields"]}

    def read(self, spool: Spool) -> int:
        """All pages. Raises ReadAgain where records were added or deleted meanwhile: one may have been shifted from a
        page that was to come to one that had been read."""
        number, counts, ids = 1, set[int](), set[str]()
        while True:
            query = {"page": str(number), "rows_per_page": str(ROWS), "format": "raw"}
            subject = f"{self._feed.name}: page {number}"
            page = self._client.get(f"v1/objects/{self._feed.from_}/records", query, subject)
            try:
                pages, count, records = int(page["total_pages"]), int(page["total_records"]), page["records"]
                spool.add(_raw(record) for record in records)
                ids.update(record["id"] for record in records)
            except (KeyError, TypeError, ValueError):
                raise ApiFailed(
                    f"{subject}: Knack's answer isn't a page: expected total_pages, total_records and records"
                ) from None
            counts.add(count)
            if number >= pages:
                break
            number += 1
        if len(counts) > 1 or len(ids) != count:
            raise ReadAgain(f"Knack counts {count} records, and its {number} pages had {len(ids)}")
        return number

    def value(self, column: FileColumn, value: Any) -> Any:
        """The value of a record's field. The Unix time of a date or time is that of the clock on the wall, as if it
        were UTC (https://cityofaustin.github.io/knackpy/docs/user-guide/). A field without a value is an empty text,
        whatever its type."""
        if value == "":
            return None
        if isinstance(value, dict) and column.logical.name in ("timestamp", "date", "time"):
            milliseconds = value.get("unix_timestamp")
            try:
                wall = datetime(1970, 1, 1) + timedelta(milliseconds=int(milliseconds))  # type: ignore[arg-type]
            except (TypeError, ValueError, OverflowError):
                return value
            return {"timestamp": wall, "date": wall.date(), "time": wall.time()}[column.logical.name]
        return value


def _raw(record: dict[str, Any]) -> dict[str, Any]:
    """The raw values: with the format `raw` alone, else beside the formatted ones, as `<key>_raw`."""
    raw = {name.removesuffix("_raw"): value for name, value in record.items() if name.endswith("_raw")}
    return {name: value for name, value in record.items() if not name.endswith("_raw")} | raw
