"""The doubles answer as the services' documentation says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from data_platform.local_cloud.web.airtable import Token
from data_platform.local_cloud.web.server import WebApis
from data_platform_tests.local_cloud.web import apis
from data_platform_tests.local_cloud.web.apis import APPLICATION, BASE, KEY, TABLE, TOKEN, Clock

LIST = f"/airtable/v0/{BASE}/{TABLE}"
SCHEMA = f"/airtable/v0/meta/bases/{BASE}/tables"
RECORDS = "/knack/v1/objects/object_1/records"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def web(clock: Clock) -> Iterator[WebApis]:
    with WebApis([apis.airtable(250, clock), apis.knack(60, clock)]).running() as web:
        yield web


def get(web: WebApis, path: str, key: str | None = None, **query: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {key or TOKEN}"}
    if path.startswith("/knack"):
        headers = {"X-Knack-Application-Id": APPLICATION, "X-Knack-REST-API-Key": key or KEY}
    with httpx.Client(trust_env=False) as client:
        return client.get(f"http://127.0.0.1:{web.port}{path}", headers=headers, params=query)


def test_airtable_lists_pages_of_a_hundred_until_there_is_no_offset(web: WebApis) -> None:
    seen: list[str] = []
    query: dict[str, str] = {}
    while True:
        page = get(web, LIST, **query).json()
        seen += [record["id"] for record in page["records"]]
        if "offset" not in page:
            break
        query = {"offset": page["offset"]}
    assert seen == [f"rec{number:014d}" for number in range(250)]
    assert [len(each.query) for each in web.requests["airtable"]] == [0, 1, 1]


def test_airtable_leaves_empty_values_out_and_names_fields_as_asked(web: WebApis) -> None:
    by_name = get(web, LIST, pageSize="2").json()["records"]
    assert by_name[0]["fields"] == {"Name": "Programme 0", "Active": True, "Budget": 0, "Tags": ["youth"]}
    assert "Active" not in by_name[1]["fields"]
    by_id = get(web, LIST, **{"pageSize": "1", "returnFieldsByFieldId": "true", "fields[]": apis.NAME}).json()[
        "records"
    ]
    assert by_id[0]["fields"] == {apis.NAME: "Programme 0"}


@pytest.mark.parametrize(
    ("path", "key", "query", "status", "type"),
    [
        (LIST, "patBad", {}, 401, "UNAUTHORIZED"),
        (SCHEMA, "patRecordsOnly", {}, 403, "INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND"),
        (f"/airtable/v0/{BASE}/tblNone", None, {}, 403, "INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND"),
        (LIST, None, {"fields[]": "fldNone"}, 422, "UNKNOWN_FIELD_NAME"),
        (LIST, None, {"offset": "itr0/rec0"}, 422, "LIST_RECORDS_ITERATOR_NOT_AVAILABLE"),
        (LIST, None, {"pageSize": "101"}, 422, "INVALID_REQUEST_UNKNOWN"),
    ],
)
def test_airtable_says_what_is_wrong(
    web: WebApis, path: str, key: str | None, query: dict[str, str], status: int, type: str
) -> None:
    web.services["airtable"].tokens["patRecordsOnly"] = Token(frozenset(("data.records:read",)), frozenset((BASE,)))  # type: ignore[attr-defined]
    answer = get(web, path, key, **query)
    assert (answer.status_code, answer.json()["error"]["type"]) == (status, type)
    assert get(web, "/airtable/v0/what").json() == {"error": "NOT_FOUND"}


def test_a_sixth_request_in_a_second_locks_the_base_for_thirty(web: WebApis, clock: Clock) -> None:
    assert [get(web, SCHEMA).status_code for _ in range(6)] == [200] * 5 + [429]
    clock.sleep(29.9)
    assert get(web, SCHEMA).status_code == 429
    clock.sleep(0.2)
    assert get(web, SCHEMA).status_code == 200


def test_an_offset_expires(web: WebApis, clock: Clock) -> None:
    offset = get(web, LIST).json()["offset"]
    clock.sleep(301)
    assert get(web, LIST, offset=offset).status_code == 422


def test_knack_lists_pages_with_their_counts(web: WebApis) -> None:
    first = get(web, RECORDS).json()
    assert (first["total_pages"], first["current_page"], first["total_records"]) == (3, 1, 60)
    assert len(first["records"]) == 25
    assert first["records"][0]["field_1"] == first["records"][0]["field_1_raw"] == "Grant 0"
    raw = get(web, RECORDS, page="2", rows_per_page="1000000", format="raw").json()
    assert (raw["total_pages"], raw["records"]) == (1, [])
    record = get(web, RECORDS, rows_per_page="1", format="raw").json()["records"][0]
    assert record["field_2"]["unix_timestamp"] == 1772879400000  # 10:30 of the wall, as if it were UTC
    assert (record["field_3"], set(record)) == (
        [{"id": "5f0c", "identifier": "Town hall"}],
        {"id", "field_1", "field_2", "field_3"},
    )


def test_knack_limits_requests_by_the_second_and_the_day(web: WebApis, clock: Clock) -> None:
    assert [get(web, RECORDS).status_code for _ in range(11)] == [200] * 10 + [429]
    clock.sleep(1.0)
    web.services["knack"].left_today = 0  # type: ignore[attr-defined]
    answer = get(web, RECORDS)
    assert (answer.status_code, answer.headers["X-PlanLimit-Remaining"]) == (429, "0")
    assert get(web, RECORDS, "wrong").status_code == 401
    assert get(web, "/knack/v1/applications/" + APPLICATION).json()["application"]["objects"][0]["key"] == "object_1"


def test_faults_are_set_over_http_and_pass(web: WebApis) -> None:
    address = f"http://127.0.0.1:{web.port}/airtable/_faults"
    with httpx.Client(trust_env=False) as client:
        assert client.put(address, json=[{"oops": 1}]).status_code == 400
        assert client.put(address, json=[{"status": 502, "body": "<html>", "times": 2, "after": 1}]).status_code == 200
    assert [get(web, SCHEMA).status_code for _ in range(4)] == [200, 502, 502, 200]
    web.faults["airtable"].set([])
    with httpx.Client(trust_env=False) as client:
        client.put(address, json=[{"cut": True}])
    with pytest.raises(httpx.RemoteProtocolError):
        get(web, SCHEMA)
