"""Airtable's Web API: the pages of a table.

https://airtable.com/developers/web/api/list-records: pages of 100; an offset leads to the next one, and may time out,
upon which the iteration may be begun again; empty values are left out. /rate-limits: 5 requests a second for each base,
and 30 seconds without any after one too many.

Airtable tells no count of records, has no order that edits can't change, and lets nobody sort by a record's id.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from data_platform.extract.web.client import Address, Api, ApiClient, ApiFailed, ApiRefused
from data_platform.extract.web.spool import ReadAgain, Spool
from data_platform.feeds.file_contract import FileColumn
from data_platform.feeds.web_apis import AirtableTableSpec

_NO_ITERATOR = "LIST_RECORDS_ITERATOR_NOT_AVAILABLE"
_PERMISSIONS = (
    "give the connection's token the scopes data.records:read and schema.bases:read and access to the base, and check"
    " the ids of base and table"
)


def _headers(address: Address) -> Mapping[str, str]:
    return {"Authorization": f"Bearer {address.secret}"}


# 4 a second, not 5: requests that go at even times don't arrive so.
AIRTABLE = Api(
    name="Airtable",
    per_second=4.0,
    headers=_headers,
    lockout_seconds=30.0,
    advice={
        401: "the connection's token is wrong, or was revoked; make another one and put it in the connection",
        403: _PERMISSIONS,
        404: _PERMISSIONS,
    },
)


def base_tables(client: ApiClient, base: str, subject: str) -> list[dict[str, Any]]:
    """The tables of a base, with their fields (/get-base-schema). Raises ApiFailed."""
    return list(client.get(f"v0/meta/bases/{base}/tables", {}, subject).get("tables", ()))


class AirtablePages:
    """Reads one table."""

    def __init__(self, feed: AirtableTableSpec, client: ApiClient) -> None:
        self._feed, self._client = feed, client

    def fields(self) -> dict[str, str]:
        """The labels of the table's fields, by their ids."""
        subject = f"{self._feed.name}: the fields of the table {self._feed.from_}"
        tables = {table["id"]: table for table in base_tables(self._client, self._feed.base, subject)}
        if self._feed.from_ not in tables:
            there = ", ".join(f"{id} ({table['name']})" for id, table in tables.items()) or "none"
            raise ApiFailed(f"{subject}: the base {self._feed.base} has no such table; it has {there}")
        return {each["id"]: each["name"] for each in tables[self._feed.from_]["fields"]}

    def read(self, spool: Spool) -> int:
        """All pages. Raises ReadAgain where the offset of a page has expired."""
        query: dict[str, str | list[str]] = {"pageSize": "100", "returnFieldsByFieldId": "true"}
        if self._feed.contract.drift == "ignore":
            query["fields[]"] = [each.header for each in self._feed.contract.columns if each.header.startswith("fld")]
        for number, page in enumerate(self._pages(query), 1):
            if not isinstance(page.get("records"), list):
                raise ApiFailed(f"{self._feed.name}: page {number}: Airtable's answer has no records")
            spool.add(
                {"id": each["id"], "createdTime": each["createdTime"], **each["fields"]} for each in page["records"]
            )
        return number

    def _pages(self, query: dict[str, str | list[str]]) -> Iterator[dict[str, Any]]:
        number = 1
        while True:
            try:
                path = f"v0/{self._feed.base}/{self._feed.from_}"
                page = self._client.get(path, query, f"{self._feed.name}: page {number}")
            except ApiRefused as refused:
                if refused.code == _NO_ITERATOR:
                    raise ReadAgain(f"Airtable's iterator expired before page {number}") from None
                raise
            yield page
            if not page.get("offset"):
                return
            query = {**query, "offset": page["offset"]}
            number += 1

    def value(self, column: FileColumn, value: Any) -> Any:
        """The value of a record's field. A checkbox that isn't ticked is left out."""
        return False if value is None and column.logical.name == "boolean" else value
