"""The doubles of geocoding services answer as the services' documentation says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from data_platform.local_cloud.web.address_book import AddressBook, Entry
from data_platform.local_cloud.web.address_search import AddressSearch
from data_platform.local_cloud.web.census import Census
from data_platform.local_cloud.web.server import WebApis

KEY = {"gatekeeperKey": "key"}
BOOK = AddressBook([Entry("12 DOCK ROAD", -70.75, 43.1), *(Entry("1 MILL ROAD", -70.7, 43.0 + n) for n in range(2))])


@pytest.fixture
def web() -> Iterator[WebApis]:
    search = AddressSearch(lambda: BOOK, frozenset(("key",)), clock=lambda: 1.0)
    with WebApis([search, Census(lambda: BOOK)]).running() as web:
        yield web


def call(web: WebApis, method: str, path: str, **options: Any) -> httpx.Response:
    with httpx.Client(trust_env=False) as client:
        return client.request(method, f"http://127.0.0.1:{web.port}/{path}", **options)


def test_the_address_search_takes_its_key_in_the_query_or_the_header_of_version_1(web: WebApis) -> None:
    header = {"Authorization": "Gatekeeper-Key key"}
    found = call(web, "GET", "address_search/v1/search/12%20dock%20road", params=KEY)
    assert found.json()["search_type"] == "address"
    assert found.json()["features"][0]["match_type"] == "exact"
    assert found.json()["features"][0]["geometry"]["coordinates"] == [-70.75, 43.1]
    for version, options, status in (
        ("v1", {"headers": header}, 200),
        ("v2", {"headers": header}, 200),
        ("v2", {"params": KEY}, 401),
        ("v1", {"params": {"gatekeeperKey": "another"}}, 401),
        ("v1", {}, 401),
    ):
        assert call(web, "GET", f"address_search/{version}/search/12 dock road", **options).status_code == status


@pytest.mark.parametrize(
    ("query", "status", "told"),
    [
        ("12 Dock Road, Port Meridian", 200, "exact"),
        ("12 Dock Road # 3", 200, "base"),
        ("1200 Dock Road", 200, "unmatched"),
        ("12 Nowhere Road", 404, "Could not find any addresses matching the query."),
        ("Dock", 400, "Query not recognized."),
    ],
)
def test_the_address_search_tells_how_it_matched(web: WebApis, query: str, status: int, told: str) -> None:
    path = f"address_search/v1/search/{query.replace('#', '%23')}"
    answer = call(web, "GET", path, params=KEY)
    assert answer.status_code == status
    assert (answer.json()["features"][0]["match_type"] if status == 200 else answer.json()["message"]) == told


def test_the_address_search_refuses_a_request_too_many(web: WebApis) -> None:
    statuses = [call(web, "GET", "address_search/v1/search/12 Dock Road", params=KEY).status_code for _ in range(11)]
    assert statuses == [200] * 10 + [429]


def test_the_census_geocoder_takes_a_form_with_a_file(web: WebApis) -> None:
    file = '0,12 Dock Road,Port Meridian,ME,\n1,1 Mill Road,Port Meridian,ME,\n10,9 Nowhere,"A, B",,\n'
    path, files = "census/geocoder/locations/addressbatch", {"addressFile": ("a.csv", file)}
    answer = call(web, "POST", path, data={"benchmark": "Public_AR_Current"}, files=files)
    assert answer.text.splitlines() == [
        '"0","12 Dock Road, Port Meridian, ME, ","Match","Exact","12 DOCK ROAD, Port Meridian, ME, ",'
        '"-70.75,43.1","76225813","L"',
        '"10","9 Nowhere, A, B, , ","No_Match"',
        '"1","1 Mill Road, Port Meridian, ME, ","Tie"',
    ]
    assert call(web, "POST", path, data={"benchmark": "none"}, files=files).status_code == 400
    assert call(web, "POST", path, data={"benchmark": "4"}).status_code == 400
