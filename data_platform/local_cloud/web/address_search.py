"""A city's address search API, as Philadelphia's AIS.

From https://github.com/CityOfPhiladelphia/ais: docs/APIUSAGE.md (the key in the query of version 1 or in the header,
search types, match types, the envelope), ais/api/errors.py (errors). The limit is the gateway's, which isn't written
down; the city's own clients keep to 5 to 10 requests a second.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from data_platform.local_cloud.web.address_book import AddressBook, Entry
from data_platform.local_cloud.web.rates import Rate
from data_platform.local_cloud.web.server import Request, Response

REQUESTS_A_SECOND = 10


class AddressSearch:
    """`book` returns the addresses that it knows now. `keys`: that may ask. `clock`: seconds."""

    name = "address_search"

    def __init__(
        self,
        book: Callable[[], AddressBook],
        keys: frozenset[str],
        *,
        per_second: int = REQUESTS_A_SECOND,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._book, self._keys, self._clock = book, keys, clock
        self._rate = Rate(per_second)
        self._lock = threading.Lock()

    def answer(self, request: Request) -> Response:
        """Answers `v1/search/<address>` and `v2/search/<address>`."""
        version, _, rest = request.path.partition("/")
        if request.method != "GET" or version not in ("v1", "v2") or not rest.startswith("search/"):
            return _error(404, "Not found")
        with self._lock:
            if self._key(request, version) not in self._keys:
                return _error(401, "Invalid authentication credentials")
            if self._rate.exceeded(self._clock()):
                return _error(429, "API rate limit exceeded")
        return self._search(unquote(rest.removeprefix("search/")))

    @staticmethod
    def _key(request: Request, version: str) -> str | None:
        kind, _, key = request.headers.get("authorization", "").partition(" ")
        if kind == "Gatekeeper-Key":
            return key
        return request.one("gatekeeperKey") if version == "v1" else None

    def _search(self, query: str) -> Response:
        plain = " ".join(query.upper().split())
        if re.search(r" (?:AND|&) ", plain):
            return Response(200, _envelope("intersection", query, plain, []))
        if " BLOCK OF " in plain:
            return Response(200, _envelope("block", query, plain, []))
        if not re.match(r"\d", plain) or " " not in plain:
            return _error(400, "Query not recognized.", query)
        book = self._book()
        found = book.find(plain)
        if found.entries:
            kind = "base" if found.unit else "exact"
            features = [_feature(entry, kind, "pwd_parcel") for entry in found.entries]
        elif near := book.on_street(found.street):
            features = [_feature(near._replace(address=plain), "unmatched", "full_range")]
        else:
            return _error(404, "Could not find any addresses matching the query.", query)
        return Response(200, _envelope("address", query, plain, features))


def _envelope(kind: str, query: str, normalized: str, features: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "search_type": kind,
        "search_params": {},
        "query": query,
        "normalized": [normalized],
        "page": 1,
        "page_count": 1,
        "page_size": len(features),
        "total_size": len(features),
        "type": "FeatureCollection",
        "features": features,
    }


def _feature(entry: Entry, match_type: str, geocode_type: str) -> dict[str, Any]:
    return {
        "type": "Feature",
        "ais_feature_type": "address",
        "match_type": match_type,
        "properties": {"street_address": entry.address},
        "geometry": {
            "geocode_type": geocode_type,
            "type": "Point",
            "coordinates": [entry.longitude, entry.latitude],
        },
    }


def _error(status: int, message: str, query: str | None = None) -> Response:
    body = {"status": status, "message": message} | ({"query": query} if query is not None else {})
    return Response(status, body)
