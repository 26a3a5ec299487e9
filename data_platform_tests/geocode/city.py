"""Geocoding services' doubles with a few addresses, and the clients that production has for them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from data_platform.extract.web.client import Address, ApiClient
from data_platform.feeds.geocoded import GeocodedSpec, places
from data_platform.geocode.address_search import AddressSearch, address_search
from data_platform.geocode.census import CENSUS, CensusBatch
from data_platform.local_cloud.web.address_book import AddressBook, Entry
from data_platform.local_cloud.web.address_search import AddressSearch as AddressSearchDouble
from data_platform.local_cloud.web.census import Census
from data_platform.local_cloud.web.server import WebApis
from data_platform_tests.local_cloud.web.apis import Clock

KEY = "gate-keeper-key"
TWO = (Entry("7 QUAY STREET", -70.75, 43.07), Entry("7 QUAY STREET", -70.72, 43.09))


def entries(count: int = 1_200) -> list[Entry]:
    """So many addresses in Mill Pond Road, and one that two places have."""
    each = (Entry(f"{n} MILL POND ROAD", -70.75 + n / 1e6, 43.08 + n / 1e6) for n in range(1, count + 1))
    return [*each, *TWO]


@dataclass
class City:
    """The doubles on one clock, which passes when somebody sleeps."""

    web: WebApis
    clock: Clock = field(default_factory=Clock)

    def client(self, api: Any, path: str, key: str) -> ApiClient:
        url = f"http://any:{key}@127.0.0.1:{self.web.port}/{path}"
        times = {"clock": self.clock, "sleep": self.clock.sleep, "jitter": lambda: 0.0}
        return ApiClient(api, Address.of(url, keyless=True), **times)

    def address_search(self, key: str = KEY, version: str = "v1") -> AddressSearch:
        client = self.client(address_search(1_000.0), f"address_search/{version}", key)
        return AddressSearch("address_search/city", client)

    def census(self, **given: Any) -> CensusBatch:
        return CensusBatch("census/us", self.client(CENSUS, "census/geocoder", ""), **given)


@contextmanager
def city(count: int = 1_200) -> Iterator[City]:
    """The services, running. The address search has no limit: time passes for all threads when one sleeps."""
    clock, book = Clock(), AddressBook(entries(count))
    services = [AddressSearchDouble(lambda: book, frozenset((KEY,)), per_second=10_000), Census(lambda: book)]
    with WebApis(services).running() as web:
        yield City(web, clock)


def geocoded_feed(**given: Any) -> GeocodedSpec:
    """A table of the addresses of raw/city/requests."""
    stated = {
        "source": "geocoder",
        "table": "requests",
        "connection": "city",
        "provider": {"type": "address_search"},
        "from": "raw/city/requests",
        "column": "address",
        "minimum_match_rate": 0.5,
        "contract": places(),
        "time_zone": "America/New_York",
    }
    return GeocodedSpec.of({**stated, **given})
