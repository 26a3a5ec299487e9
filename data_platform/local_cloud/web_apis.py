"""The part that stands in for web APIs: how to start `web.__main__`, and the URL of each service."""

from __future__ import annotations

import sys

from data_platform.local_cloud import keys
from data_platform.local_cloud.layout import Layout
from data_platform.local_cloud.ports import LOOPBACK, accepts
from data_platform.local_cloud.processes import Part, PartNotReady

NAME = "web"
BOOK = "address_book.json"
"""The file, below the part's data folder, of the addresses that geocoding services know."""
_PATHS = {"address_search": "address_search/v1", "census": "census/geocoder"}


def part(layout: Layout, port: int) -> Part:
    """The doubles on `port`."""
    return Part(
        name=NAME,
        command=(
            sys.executable,
            *("-m", "data_platform.local_cloud.web"),
            *("--port", str(port), "--data", str(layout.data(NAME)), "--keys", str(layout.keys)),
        ),
        ports={NAME: port},
        prepare=lambda: prepare(layout),
        ready=lambda: _ready(port),
        serves=f"http://{LOOPBACK}:{port}",
    )


def prepare(layout: Layout) -> None:
    """Makes the keys that the doubles take."""
    for service in _PATHS:
        keys.web_api_key(layout, service)


def url(service: str, key: str, port: int) -> str:
    """A connection's URL."""
    return f"http://platform:{key}@{LOOPBACK}:{port}/{_PATHS[service]}"


def _ready(port: int) -> None:
    if not accepts(port):
        raise PartNotReady("nothing listens yet")
