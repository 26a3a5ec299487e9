"""A run that is killed amid geocoding is finished by the next: each address once, and the cap counts all that the
service was asked for."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from data_platform.extract.ingest import Ingestion
from data_platform.extract.web.client import Address, ApiClient
from data_platform.geocode import asking
from data_platform.geocode.address_search import AddressSearch, address_search
from data_platform.geocode.source import GeocodeSource
from data_platform.lake.extracts import Lake
from data_platform_tests.boundaries import Killed, kill_process, killed_before
from data_platform_tests.forks import Forks, forks
from data_platform_tests.geocode.city import KEY, City, city, geocoded_feed
from data_platform_tests.warehouse.in_process import DATABASE, InProcess, in_process

__all__ = ["forks"]

NEW = 5
"""Addresses that are new in each round."""


@pytest.fixture(autouse=True)
def _each_answer_is_kept_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """In production it waits for KEEP_SECONDS."""
    monkeypatch.setattr(asking, "KEEP_SECONDS", 0.0)


def addresses(number: int) -> list[str]:
    return [f"{NEW * number + place} Mill Pond Road" for place in range(1, NEW + 1)]


def write(session: InProcess, number: int) -> None:
    rows = ", ".join(f"('{address}')" for address in addresses(number))
    with session.cursor() as cursor:
        cursor.execute("CREATE SCHEMA IF NOT EXISTS RAW_CITY")
        cursor.execute(f"CREATE OR REPLACE TABLE RAW_CITY.REQUESTS AS SELECT * FROM VALUES {rows} AS T (ADDRESS)")


def ingest(provider: Any, session: InProcess, lake: Lake) -> None:
    """A run of the table."""
    connect: Any = lambda **_: nullcontext(session)  # noqa: E731
    source = GeocodeSource(geocoded_feed(), connect, DATABASE, provider)
    ingestion = Ingestion(source, lake=lake, connect=connect, database=DATABASE, run_id="a run")
    ingestion.settle(ingestion.run())


def run(url: str, folder: str, number: int, before: int | str | None) -> None:
    """A run in a process of its own, which is killed before an effect."""
    asking.KEEP_SECONDS = 0.0

    def provider() -> AddressSearch:
        return AddressSearch("address_search/city", ApiClient(address_search(1_000.0), Address.of(url)))

    with in_process(Path(folder)) as (session, lake):
        write(session, number)
        with killed_before(before, kill_process):
            ingest(provider, session, lake)


def check(session: InProcess, town: City, number: int, *, killed: int) -> None:
    """Each address has its place once, and what was asked for is counted: at most the last ones of a run that was
    killed are counted without having been sent."""
    with session.cursor() as cursor:
        cursor.execute("SELECT ADDRESS, STATUS FROM RAW_GEOCODER.REQUESTS ORDER BY ADDRESS")
        assert cursor.fetchall() == sorted((address, "matched") for address in addresses(number))
        cursor.execute("SELECT SUM(ADDRESSES) FROM PLATFORM.GEOCODING")
        ((spent,),) = cursor.fetchall()
        cursor.execute("SELECT COUNT(*) FROM PLATFORM.GEOCODED_ADDRESSES")
        ((kept,),) = cursor.fetchall()
    asked = len(town.web.requests["address_search"])
    assert kept <= asked <= spent <= asked + killed * NEW


def test_killed_before_any_effect_the_next_run_has_each_address_once(tmp_path: Path) -> None:
    with city() as town, in_process(tmp_path) as (session, lake):
        number, finished = 0, False
        while not finished:
            write(session, number)
            with InProcess(session.instance) as ending, killed_before(number):
                try:
                    ingest(town.address_search, ending, lake)
                    finished = True
                except Killed:
                    pass
            ingest(town.address_search, session, lake)
            check(session, town, number, killed=number + 1)
            assert lake.unloaded("geocoder", "requests") == []
            number += 1
    assert number > 1 + NEW + 6, (
        "before it is asked for, between answers, and around the extract's commit and the load's"
    )


def test_a_process_that_is_killed_loses_and_doubles_nothing(forks: Forks, tmp_path: Path) -> None:
    with city() as town:
        url = f"http://any:{KEY}@127.0.0.1:{town.web.port}/address_search/v1"
        kills = (3, "manifest.json", "BEGIN", "COMMIT", "delete")
        for number, effect in enumerate(kills):
            assert forks.killed(run, url, str(tmp_path), number, effect)
        assert forks.ended(run, url, str(tmp_path), len(kills), None) == 0
        with in_process(tmp_path) as (session, _):
            check(session, town, len(kills), killed=len(kills))
