"""A city's address search API, modelled on Philadelphia's AIS: one address a request.

https://github.com/CityOfPhiladelphia/ais/blob/master/docs/APIUSAGE.md: `search/<address>` returns a GeoJSON
FeatureCollection with the `search_type` that the service understood, and features with a `match_type`; 404 means that
it knows no such address, 400 that it can't read the query. Versions 1 and 2 take the key in the header `Authorization:
Gatekeeper-Key <key>`; it is never put in the URL, which proxies log. `max_range=0`: no address of a range in its place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from data_platform.extract.web.client import Address, Api, ApiClient, ApiFailed, ApiRefused
from data_platform.geocode.provider import Answer, place

_KEY = "check the connection: its password is the service's key (gatekeeper key)"
_KNOWN = ("exact", "generic_unit", "base", "exact_base", "range_parent", "range-parent", "range_child", "unit_child")
"""The match types of a feature that is the address, or the building or parcel that it lies in."""


def _headers(address: Address) -> Mapping[str, str]:
    return {"Authorization": f"Gatekeeper-Key {address.secret}"}


def address_search(per_second: float) -> Api:
    """The service, with the requests a second that it allows. They go a tenth slower, as those that go at even times
    don't arrive so: at the limit itself, 1,000 requests took 136 s and 22 refusals; so, 113 s and none."""
    return Api(
        name="The address search",
        per_second=0.9 * per_second,
        headers=_headers,
        lockout_seconds=1.0,
        advice={401: _KEY, 403: _KEY},
        kept="What was found is kept",
    )


class AddressSearch:
    """Asks it."""

    at_once = 1
    requests_at_once = 8

    def __init__(self, name: str, client: ApiClient) -> None:
        self.name, self._client = name, client

    def ask(self, addresses: Sequence[str]) -> list[Answer]:
        """One request for each address. Errors don't name it: it may be somebody's."""
        return [self._one(address) for address in addresses]

    def _one(self, address: str) -> Answer:
        path, query = f"search/{quote(address, safe='')}", {"srid": "4326", "max_range": "0"}
        try:
            found = self._client.get(path, query, self.name)
        except ApiRefused as refused:
            if refused.status == 404:
                return Answer("no_match", "the service knows no such address")
            if refused.status == 400:
                return Answer("no_match", "the service can't read it as an address")
            raise
        return self._answer(found)

    def _answer(self, found: dict[str, Any]) -> Answer:
        kind, features = found.get("search_type"), found.get("features")
        if not isinstance(features, list):
            raise ApiFailed(f"{self.name}: expected a FeatureCollection; the answer has no features")
        if kind != "address":
            return Answer("no_match", f"the service takes it for a search of type {kind}, not for an address")
        known = [each for each in features if each.get("match_type") in _KNOWN]
        if not known:
            return Answer("no_match", "the service only estimates a place: it knows the street, not the number")
        exact = [each for each in known if each.get("match_type") == "exact"] or known
        places = {_place(each): each for each in exact}
        if None in places:
            return Answer("no_match", "the service knows the address, and no place of it")
        if len(places) > 1:
            return Answer("ambiguous", f"{len(places)} places have this address")
        (where, feature), *_ = places.items()
        assert where is not None  # noqa: S101 - told above
        matched = str(feature.get("properties", {}).get("street_address") or "") or None
        geocoded_by = str(feature["geometry"].get("geocode_type") or "")
        precision = " ".join(filter(None, (str(feature["match_type"]), geocoded_by)))
        return Answer("matched", matched=matched, longitude=where[0], latitude=where[1], precision=precision)


def _place(feature: dict[str, Any]) -> Any:
    geometry = feature.get("geometry") or {}
    coordinates = geometry.get("coordinates")
    if geometry.get("type") != "Point" or not isinstance(coordinates, list) or len(coordinates) < 2:
        return None
    return place(*coordinates[:2])
