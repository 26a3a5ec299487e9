"""The part that stands in for web APIs: how to start `web.__main__`, and the URL of each service."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from data_platform.local_cloud import keys, postgres
from data_platform.local_cloud.layout import Layout, write_atomically
from data_platform.local_cloud.ports import LOOPBACK, accepts
from data_platform.local_cloud.processes import Part, PartNotReady
from data_platform.local_cloud.web.stored import user_of

NAME = "web"
BOOK = "address_book.json"
"""The file, below the part's data folder, of the addresses that geocoding services know."""
_PATHS = {"address_search": "address_search/v1", "census": "census/geocoder", "carto": "carto"}
_CARTO_DATABASE = "carto"
"""CARTO's tables in the local PostgreSQL. The double makes it when it is asked first."""


def part(layout: Layout, port: int, postgres_port: int) -> Part:
    """The doubles on `port`. CARTO's keeps its tables in the local PostgreSQL."""
    database = f"postgresql://{postgres.SUPERUSER}@{LOOPBACK}:{postgres_port}/{_CARTO_DATABASE}"
    return Part(
        name=NAME,
        command=(
            sys.executable,
            *("-m", "data_platform.local_cloud.web"),
            *("--port", str(port), "--data", str(layout.data(NAME)), "--keys", str(layout.keys)),
            *("--carto-database", database),
        ),
        environment={"PGPASSWORD": keys.password(layout, postgres.SUPERUSER)},
        ports={NAME: port},
        prepare=lambda: prepare(layout),
        ready=lambda: _ready(port),
        serves=f"http://{LOOPBACK}:{port}",
    )


def prepare(layout: Layout) -> None:
    """Makes the keys that the doubles take, and their data folder, by which provisioning knows the part."""
    layout.data(NAME).mkdir(parents=True, exist_ok=True)
    for service in _PATHS:
        keys.web_api_key(layout, service)


def url(service: str, key: str, port: int) -> str:
    """A connection's URL."""
    return f"http://platform:{key}@{LOOPBACK}:{port}/{_PATHS[service]}"


def stored_url(layout: Layout, name: str, port: int) -> str:
    """A connection's URL, of a double that `describe` describes."""
    return f"http://{user_of(name)}:{keys.web_api_key(layout, name)}@{LOOPBACK}:{port}/{name}"


def describe(layout: Layout, stored_apis: Mapping[str, Any]) -> None:
    """Writes what the doubles of Airtable and Knack read: their keys, and the tables that feeds declare."""
    for name, tables in stored_apis.items():
        path = layout.data(NAME) / f"{name}.json"
        text = json.dumps({"key": keys.web_api_key(layout, name), "tables": tables}, sort_keys=True)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            write_atomically(path, text)


def fill(layout: Layout, name: str, tables: str) -> None:
    """Puts fields and records, as JSON, into the double of that name."""
    write_atomically(layout.data(NAME) / f"{name}.records.json", tables)


def _ready(port: int) -> None:
    if not accepts(port):
        raise PartNotReady("nothing listens yet")
