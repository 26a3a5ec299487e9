"""A read of a web API that is killed at any boundary is finished by the next run: each record once, and all accounted
for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from data_platform.extract.web.client import Address, ApiClient
from data_platform.extract.web.source import api_of
from data_platform.lake.extracts import Lake
from data_platform.local_cloud.web.server import WebApis
from data_platform_tests.boundaries import Killed, kill_process, killed_before
from data_platform_tests.extract.web.tables import airtable_feed, ingest, knack_feed
from data_platform_tests.forks import Forks, forks
from data_platform_tests.local_cloud.web import apis
from data_platform_tests.local_cloud.web.apis import APPLICATION, BASE, KEY, TOKEN, Clock
from data_platform_tests.warehouse.in_process import InProcess, in_process

__all__ = ["forks"]

FEEDS = {"airtable": airtable_feed(load_mode="history"), "knack": knack_feed()}
ROWS = {"airtable": 101, "knack": 1_001}
EFFECTS = 11
"""Of a run: the fields, two pages twice, the extract's mark, its file, its manifest, the load's begin and commit, the
mark's end."""


def run(name: str, url: str, folder: str, before: str | None) -> None:
    """A run in a process of its own, which is killed before an effect."""

    def client() -> ApiClient:
        return ApiClient(api_of(FEEDS[name]), Address.of(url))

    with in_process(Path(folder)) as (session, lake), killed_before(before, kill_process):
        ingest(FEEDS[name], client, session, lake)


@dataclass
class Service:
    """A double whose records change, and the statuses of its answers."""

    name: str
    double: Any
    url: str
    statuses: list[int]

    def change(self, number: int) -> None:
        """The first record goes, and another one comes."""
        records = self._records
        records.pop(0)
        records.append(apis.record(5_000 + number) if self.name == "airtable" else apis.knack_record(5_000 + number))

    @property
    def _records(self) -> list[Any]:
        table = self.double.bases[BASE][0] if self.name == "airtable" else self.double.objects[0]
        return table.records  # type: ignore[no-any-return]

    def check(self, session: InProcess, lake: Lake, passed: Sequence[str] = ()) -> None:
        """Each record is in the table once, the ledger has as many, nothing is left to load, and no request was one too
        many."""
        feed = FEEDS[self.name]
        table, key = f"RAW_{feed.source}.{feed.table}".upper(), feed.contract.key[0]
        history = feed.load_mode == "history"
        ids = [record.id if self.name == "airtable" else record["id"] for record in self._records]
        expected = (
            "SELECT TABLE_ROWS FROM PLATFORM.TABLE_ROWS ORDER BY RECORDED_AT DESC LIMIT 1"
            if history
            else "SELECT SUM(ROWS_LOADED) FROM PLATFORM.CURRENT_LOADS WHERE REMOVED_AT IS NULL"
        )
        with session.cursor() as cursor:
            cursor.execute(f"SELECT {key} FROM {table}{' WHERE _VALID_TO IS NULL' if history else ''}")
            assert sorted(id for (id,) in cursor.fetchall()) == sorted(ids), passed
            cursor.execute(f"SELECT COUNT(*) FROM {table}")
            ((rows,),) = cursor.fetchall()
            cursor.execute(expected)
            assert [(int(number),) for (number,) in cursor.fetchall()] == [(rows,)], passed
        assert lake.unloaded(feed.source, feed.table) == []
        assert set(self.statuses) == {200}


@contextmanager
def serving(name: str, clock: Callable[[], float]) -> Iterator[Service]:
    """The double, running."""
    made: Any = {"airtable": apis.airtable, "knack": apis.knack}[name](ROWS[name], clock)
    answer, statuses = made.answer, list[int]()

    def watched(request: Any) -> Any:
        response = answer(request)
        statuses.append(response.status)
        return response

    made.answer = watched
    user, key = ("", TOKEN) if name == "airtable" else (APPLICATION, KEY)
    with WebApis([made]).running() as web:
        yield Service(name, made, f"http://{user}:{key}@127.0.0.1:{web.port}/{name}", statuses)


@pytest.mark.parametrize("name", FEEDS)
def test_killed_before_any_effect_the_next_run_brings_each_record_once(name: str, tmp_path: Path) -> None:
    clock = Clock()

    def client() -> ApiClient:
        return ApiClient(api_of(FEEDS[name]), Address.of(service.url), clock=clock, sleep=clock.sleep)

    with serving(name, clock) as service, in_process(tmp_path) as (session, lake):
        ingest(FEEDS[name], client, session, lake)
        for number in range(EFFECTS + 1):
            service.change(number)
            with InProcess(session.instance) as ending, killed_before(number) as passed:
                if number < EFFECTS:
                    with pytest.raises(Killed):
                        ingest(FEEDS[name], client, ending, lake)
                else:
                    ingest(FEEDS[name], client, ending, lake)
            ingest(FEEDS[name], client, session, lake)
            service.check(session, lake, passed)
    assert len(passed) == EFFECTS


@pytest.mark.parametrize("name", FEEDS)
def test_a_process_that_is_killed_amid_pages_or_around_its_commits_loses_and_doubles_nothing(
    forks: Forks, name: str, tmp_path: Path
) -> None:
    with serving(name, time.monotonic) as service:
        second = {"airtable": "offset=", "knack": "page=2"}[name]
        for number, effect in enumerate((second, "manifest.json", "BEGIN", "COMMIT", "delete")):
            service.change(number)
            assert forks.killed(run, name, service.url, str(tmp_path), effect)
        assert forks.ended(run, name, service.url, str(tmp_path), None) == 0
        with in_process(tmp_path) as (session, lake):
            service.check(session, lake)
