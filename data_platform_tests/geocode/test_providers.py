"""What the providers make of the services' answers."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest

from data_platform.extract.web.client import ApiFailed
from data_platform.geocode.provider import Answer
from data_platform.local_cloud.web.faults import Fault
from data_platform_tests.geocode.city import City, city


@pytest.fixture
def town() -> Iterator[City]:
    with city() as town:
        yield town


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_the_address_search_finds_an_address_a_units_building_and_nothing_else(town: City, version: str) -> None:
    found = town.address_search(version=version).ask(
        [
            "12 MILL POND ROAD",
            "12 MILL POND ROAD, APT. 3",
            "7 QUAY STREET",
            "9000 MILL POND ROAD",
            "1 NOWHERE ROAD",
            "MILL POND ROAD AND QUAY STREET",
            "SOMEWHERE",
        ]
    )
    assert found[0] == Answer(
        "matched",
        matched="12 MILL POND ROAD",
        longitude=Decimal("-70.749988"),
        latitude=Decimal("43.080012"),
        precision="exact pwd_parcel",
    )
    assert (found[1].status, found[1].latitude, found[1].precision) == (
        "matched",
        found[0].latitude,
        "base pwd_parcel",
    )
    assert (found[2].status, found[2].reason) == ("ambiguous", "2 places have this address")
    assert [each.status for each in found[3:]] == ["no_match"] * 4
    assert [each.reason for each in found[3:]] == [
        "the service only estimates a place: it knows the street, not the number",
        "the service knows no such address",
        "the service takes it for a search of type intersection, not for an address",
        "the service can't read it as an address",
    ]
    assert all("gatekeeperKey" not in request.query for request in town.web.requests["address_search"])


def test_a_wrong_key_says_what_to_do_and_neither_key_nor_address(town: City) -> None:
    with pytest.raises(ApiFailed, match="gatekeeper key") as failed:
        town.address_search("wrong-key").ask(["12 MILL POND ROAD"])
    assert "wrong-key" not in str(failed.value) and "MILL" not in str(failed.value)


def test_a_request_too_many_is_made_again(town: City) -> None:
    town.web.faults["address_search"].set([Fault(status=429, body="{}", times=2), Fault(status=503), Fault(cut=True)])
    assert town.address_search().ask(["12 MILL POND ROAD"])[0].status == "matched"
    assert len(town.web.requests["address_search"]) == 5


def test_the_census_geocoder_answers_a_file_in_any_order(town: City) -> None:
    asked = [f"{number} MILL POND ROAD" for number in range(1, 600)]
    found = town.census(city="Port Meridian", state="ME").ask([*asked, "7 QUAY STREET", "1 NOWHERE ROAD"])
    assert len(town.web.requests["census"]) == 1
    assert [each.status for each in found] == ["matched"] * 599 + ["ambiguous", "no_match"]
    assert found[41].matched == "42 MILL POND ROAD, Port Meridian, ME, "
    assert (found[41].longitude, found[41].precision) == (Decimal("-70.749958"), "exact")


def test_an_answer_that_was_cut_off_is_asked_for_again(town: City) -> None:
    town.web.faults["census"].set([Fault(status=200, body='"0","1 MILL'), Fault(cut=True)])
    assert town.census().ask(["1 MILL POND ROAD"])[0].status == "matched"
    assert len(town.web.requests["census"]) == 3


def test_the_census_geocoder_takes_ten_thousand_addresses(town: City) -> None:
    with pytest.raises(ApiFailed, match="exceeds maximum of 10000"):
        town.census().ask(["1 MILL POND ROAD"] * 10_001)
    assert town.census(at_once=20_000).at_once == 10_000
