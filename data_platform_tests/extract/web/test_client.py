"""Where a connection leads, how requests keep apart, and when they are made again."""

from __future__ import annotations

import re
import threading
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from data_platform.extract.web.client import Address, ApiFailed
from data_platform.extract.web.limiter import Limiter
from data_platform.local_cloud.web.faults import Fault
from data_platform_tests.extract.web.tables import airtable_feed, airtable_town
from data_platform_tests.local_cloud.web.apis import Clock


def test_a_connections_url_has_the_address_and_the_key() -> None:
    address = Address.of("https://5f0c:a%2Fb@api.knack.com/")
    assert (address.url, address.user, address.secret) == ("https://api.knack.com", "5f0c", "a/b")
    assert Address.of("http://:pat@127.0.0.1:8080/airtable").url == "http://127.0.0.1:8080/airtable"
    assert Address.of("http://:pat@[::1]:8080").url == "http://[::1]:8080"


@pytest.mark.parametrize("url", ["ftp://:key@host", "https://host", "https://user@host", "http://:key@[", "key"])
def test_a_url_that_is_none_is_told_without_it(url: str) -> None:
    with pytest.raises(ApiFailed, match=re.escape("https://<user>:<secret>@<host>")) as error:
        Address.of(url)
    assert "key" not in str(error.value)


def test_threads_share_a_limit() -> None:
    clock, times = Clock(), []
    limiter, lock = Limiter(4.0, clock=clock, sleep=clock.sleep), threading.Lock()

    def ask() -> None:
        for _ in range(10):
            limiter.wait()
            with lock:
                times.append(clock())

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(times) == 40
    assert clock() - 1_000 >= 39 * 0.25


@pytest.mark.parametrize(
    ("header", "least"),
    [
        ("7", 7.0),
        ("-1", 1.0),
        ("soon", 1.0),
    ],
)
def test_a_service_is_given_the_time_that_it_asks_for(header: str, least: float) -> None:
    assert least <= longest_wait(header) <= least + 11


def test_a_service_is_given_the_time_until_the_date_that_it_names() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    assert 80 <= longest_wait(date) <= 101


def longest_wait(retry_after: str) -> float:
    """How long a read waited for a service that is away and says so with this header, in seconds."""
    with airtable_town(1) as town:
        town.fail(Fault(503, headers={"Retry-After": retry_after}))
        town.read(airtable_feed())
        return max(town.clock.slept)
