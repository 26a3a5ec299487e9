"""Feeds of web APIs, and reading them from doubles without an engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from data_platform.extract.ingest import Ingestion
from data_platform.extract.source import Position
from data_platform.extract.web.airtable import AIRTABLE
from data_platform.extract.web.client import Address, Api, ApiClient
from data_platform.extract.web.knack import KNACK
from data_platform.extract.web.source import WebSource
from data_platform.feeds.web_apis import AirtableTableSpec, KnackObjectSpec
from data_platform.lake.extracts import Lake
from data_platform.local_cloud.web.airtable import Airtable
from data_platform.local_cloud.web.knack import Knack
from data_platform.local_cloud.web.server import Request, Response, WebApis
from data_platform_tests.local_cloud.web import apis
from data_platform_tests.local_cloud.web.apis import APPLICATION, BASE, KEY, TABLE, TOKEN, Clock
from data_platform_tests.warehouse.in_process import DATABASE, InProcess

COLUMNS = {
    "programme_id": {"type": "string", "nullable": False, "source_name": "id"},
    "name": {"type": "string", "source_name": apis.NAME},
    "active": {"type": "boolean", "source_name": apis.ACTIVE},
    "budget": {"type": "decimal(12,2)", "source_name": apis.BUDGET},
    "tags": {"type": "json", "source_name": apis.TAGS},
}
GRANTS = {
    "grant_id": {"type": "string", "nullable": False, "source_name": "id"},
    "name": {"type": "string", "source_name": "field_1"},
    "opened": {"type": "timestamp", "source_name": "field_2", "time_zone": "America/New_York"},
    "site": {"type": "json", "source_name": "field_3"},
}


def _contract(columns: Mapping[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    declared = [{"name": name, **said} for name, said in columns.items()]
    return {"columns": declared, "key": [next(iter(columns))], "drift": given.pop("drift", "reject")}


def airtable_feed(columns: Mapping[str, Any] = COLUMNS, **given: Any) -> AirtableTableSpec:
    stated = {"source": "city", "table": "programmes", "connection": "city", "base": BASE, "from": TABLE}
    return AirtableTableSpec.of({**stated, "contract": _contract(columns, given), **given})


def knack_feed(columns: Mapping[str, Any] = GRANTS, **given: Any) -> KnackObjectSpec:
    stated = {"source": "grants", "table": "grants", "connection": "grants", "from": "object_1"}
    return KnackObjectSpec.of({**stated, "contract": _contract(columns, given), **given})


@dataclass
class Read:
    """What a read gave."""

    rows: list[dict[str, Any]]
    rejects: list[dict[str, Any]]
    position: Position


@dataclass
class Town:
    """A service's double with its data, and the client that production has for it, on one clock."""

    web: WebApis
    service: Any
    api: Api
    user: str
    key: str
    clock: Clock = field(default_factory=Clock)
    log: list[str] = field(default_factory=list)

    @property
    def asked(self) -> Sequence[Request]:
        return self.web.requests[self.service.name]

    def fail(self, *faults: Any) -> None:
        self.web.faults[self.service.name].set(faults)

    def url(self, key: str | None = None) -> str:
        """A connection's."""
        return f"http://{self.user}:{key or self.key}@127.0.0.1:{self.web.port}/{self.service.name}"

    def client(self, key: str | None = None) -> ApiClient:
        address = Address.of(self.url(key))
        clock = self.clock
        return ApiClient(
            self.api,
            address,
            progress=self.log.append,
            clock=clock,
            sleep=lambda seconds: clock.sleep(seconds),
            jitter=lambda: 0.5,
        )

    def read(self, feed: AirtableTableSpec | KnackObjectSpec, key: str | None = None) -> Read:
        client = self.client(key)
        try:
            return self.read_with(client, feed)
        finally:
            client.close()

    def read_with(self, client: ApiClient, feed: AirtableTableSpec | KnackObjectSpec) -> Read:
        source = WebSource(feed, lambda: nullcontext(client), progress=self.log.append)
        (slice_,) = source.plan(since=None, partition=None, unfinished=())
        with source.open(slice_) as reading:
            chunks = list(reading.chunks())
            rows = pa.Table.from_batches([each.rows for each in chunks], reading.contract.arrow_schema).to_pylist()
            rejects = [row for each in chunks if each.rejects for row in each.rejects.to_pylist()]
            return Read(rows, rejects, reading.position())


def ingest(
    feed: AirtableTableSpec | KnackObjectSpec, client: Callable[[], ApiClient], session: InProcess, lake: Lake
) -> None:
    """A run of the feed, by the engine in this process."""
    connect: Any = lambda **_: nullcontext(session)  # noqa: E731
    source = WebSource(feed, client)
    ingestion = Ingestion(source, lake=lake, connect=connect, database=DATABASE, run_id="a run")
    ingestion.settle(ingestion.run())


@contextmanager
def airtable_town(rows: int, **given: Any) -> Iterator[Town]:
    clock = Clock()
    service: Airtable = apis.airtable(rows, clock, **given)
    with WebApis([service]).running() as web:
        yield Town(web, service, AIRTABLE, "", TOKEN, clock)


@contextmanager
def knack_town(rows: int, **given: Any) -> Iterator[Town]:
    clock = Clock()
    service: Knack = apis.knack(rows, clock, **given)
    with WebApis([service]).running() as web:
        yield Town(web, service, KNACK, APPLICATION, KEY, clock)


def between_pages(town: Town, page: int, change: Any) -> None:
    """Has `change` happen once, before the service answers its request of this number, from 1."""
    answer, count = town.service.answer, 0

    def answer_after(request: Request) -> Response:
        nonlocal count
        count += 1
        if count == page:
            change()
        return answer(request)  # type: ignore[no-any-return]

    town.service.answer = answer_after
