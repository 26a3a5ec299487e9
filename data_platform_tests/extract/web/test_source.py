"""Reading all records of Airtable's tables and Knack's objects, whatever happens between two pages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from data_platform.extract.source import Refused
from data_platform.extract.web.client import ApiFailed
from data_platform.extract.web.source import WebSource
from data_platform.local_cloud.web.airtable import Field, Token
from data_platform.local_cloud.web.faults import Fault
from data_platform_tests.extract.web.tables import (
    COLUMNS,
    GRANTS,
    Town,
    airtable_feed,
    airtable_town,
    between_pages,
    ingest,
    knack_feed,
    knack_town,
)
from data_platform_tests.local_cloud.web import apis
from data_platform_tests.local_cloud.web.apis import BASE, KEY, TOKEN
from data_platform_tests.warehouse.in_process import in_process


@pytest.fixture
def airtable() -> Iterator[Town]:
    with airtable_town(250) as town:
        yield town


@pytest.fixture
def knack() -> Iterator[Town]:
    with knack_town(2_500) as town:
        yield town


def ids(count: int) -> list[str]:
    return [f"rec{number:014d}" for number in range(count)]


def test_every_page_of_a_table_is_read_with_its_types(airtable: Town) -> None:
    read = airtable.read(airtable_feed())
    assert [row["programme_id"] for row in read.rows] == ids(250)
    assert read.rows[7] == {
        "programme_id": "rec00000000000007",
        "name": "Programme 7",
        "active": False,  # a checkbox that isn't ticked is absent
        "budget": Decimal("70.00"),
        "tags": '["youth"]',
    }
    assert len(airtable.asked) == 1 + 2 * 3  # the fields, and three pages, listed twice
    assert (read.rejects, list(read.position)) == ([], ["read_at"])


def test_every_page_of_an_object_is_read_with_its_types(knack: Town) -> None:
    read = knack.read(knack_feed())
    assert [row["name"] for row in read.rows] == [f"Grant {number}" for number in range(2_500)]
    assert read.rows[0]["opened"] == datetime(2026, 3, 7, 15, 30, tzinfo=UTC)  # 10:30 in New York
    assert read.rows[0]["site"] == '[{"id":"5f0c","identifier":"Town hall"}]'
    assert len(knack.asked) == 1 + 2 * 3


def test_requests_of_all_feeds_keep_to_the_limit_of_the_base(airtable: Town) -> None:
    answer, statuses = airtable.service.answer, set[int]()

    def watched(request: Any) -> Any:
        response = answer(request)
        statuses.add(response.status)
        return response

    airtable.service.answer = watched
    client = airtable.client()
    for _ in range(5):
        airtable.read_with(client, airtable_feed())
    assert statuses == {200}


def test_a_renamed_label_changes_nothing(airtable: Town) -> None:
    before = airtable.read(airtable_feed()).rows
    for each in airtable.service.bases[BASE][0].fields:
        each.name = f"{each.name} (new)"
    assert airtable.read(airtable_feed()).rows == before


def test_a_field_that_most_records_lack_is_a_column(airtable: Town) -> None:
    table = airtable.service.bases[BASE][0]
    table.fields.append(Field("fldLate0000000001", "Late", "number"))
    table.records[249].values["fldLate0000000001"] = 12
    late = {"type": "int32", "source_name": "fldLate0000000001"}
    read = airtable.read(airtable_feed({**COLUMNS, "late": late}))
    assert [row["late"] for row in read.rows] == [None] * 249 + [12]


def test_new_and_missing_fields_are_told_before_anything_is_read(airtable: Town) -> None:
    airtable.service.bases[BASE][0].fields[3].id = "fldOther000000001"
    with pytest.raises(Refused, match=r"no field fldTags0000000001.*fldOther000000001 \(Tags\); add them"):
        airtable.read(airtable_feed())
    assert len(airtable.asked) == 1
    kept = {name: said for name, said in COLUMNS.items() if name != "tags"}
    assert len(airtable.read(airtable_feed(kept, drift="ignore")).rows) == 250
    assert airtable.asked[-1].query["fields[]"] == [apis.NAME, apis.ACTIVE, apis.BUDGET]


def test_an_expired_iterator_begins_again_and_doubles_nothing(airtable: Town) -> None:
    between_pages(airtable, 4, airtable.service.expire_iterators)
    read = airtable.read(airtable_feed())
    assert [row["programme_id"] for row in read.rows] == ids(250)
    assert airtable.log == [
        "city/programmes: Airtable's iterator expired before page 3; reading it again from the beginning"
    ]


def test_what_a_begun_again_read_left_is_gone(airtable: Town) -> None:
    def delete_first() -> None:
        airtable.service.bases[BASE][0].records.pop(0)
        airtable.service.expire_iterators()

    between_pages(airtable, 4, delete_first)
    assert [row["programme_id"] for row in airtable.read(airtable_feed()).rows] == ids(250)[1:]


def test_an_iterator_that_always_expires_fails_the_read(airtable: Town) -> None:
    airtable.service.iterator_seconds = -1.0
    with pytest.raises(ApiFailed, match="city/programmes: Airtable's iterator expired before page 2, 3 times"):
        airtable.read(airtable_feed())


@pytest.mark.parametrize("page", [2, 3])
@pytest.mark.parametrize(("place", "to"), [(249, 0), (0, 249)], ids=["to a page that was read", "to a later page"])
def test_a_record_that_moves_between_pages_is_neither_lost_nor_doubled(
    airtable: Town, page: int, place: int, to: int
) -> None:
    records = airtable.service.bases[BASE][0].records
    between_pages(airtable, 1 + page, lambda: records.insert(to, records.pop(place)))
    read = airtable.read(airtable_feed())
    assert sorted(row["programme_id"] for row in read.rows) == ids(250)


def test_a_record_that_moves_during_a_read_is_not_deleted_in_a_history(tmp_path: Path) -> None:
    feed = airtable_feed(load_mode="history")
    with airtable_town(250) as town, in_process(tmp_path) as (session, lake):
        ingest(feed, town.client, session, lake)
        records = town.service.bases[BASE][0].records
        between_pages(town, 3, lambda: records.insert(0, records.pop()))
        ingest(feed, town.client, session, lake)
        with session.cursor() as cursor:
            cursor.execute("SELECT COUNT(*), COUNT_IF(_DELETED) FROM RAW_CITY.PROGRAMMES")
            assert cursor.fetchall() == [(250, 0)]


def test_a_table_that_is_sorted_anew_during_a_read_is_read_whole_and_the_log_says_so(airtable: Town) -> None:
    between_pages(airtable, 3, airtable.service.bases[BASE][0].records.reverse)
    read = airtable.read(airtable_feed())
    assert sorted(row["programme_id"] for row in read.rows) == ids(250)
    assert airtable.log == ["city/programmes: listing 2 brought 149 records that the ones before lacked"]


def test_records_that_are_added_during_every_listing_dont_keep_a_read_from_ending(airtable: Town) -> None:
    answer, records, added = airtable.service.answer, airtable.service.bases[BASE][0].records, 250

    def growing(request: Any) -> Any:
        nonlocal added
        records.append(apis.record(added))
        added += 1
        return answer(request)

    airtable.service.answer = growing
    read = airtable.read(airtable_feed())
    assert [row["programme_id"] for row in read.rows][:250] == ids(250)
    assert len(airtable.asked) == 1 + 3 * 3


def test_a_table_of_one_page_is_listed_once() -> None:
    with airtable_town(100) as town:
        assert len(town.read(airtable_feed()).rows) == 100
        assert len(town.asked) == 2


def test_a_record_that_comes_as_another_goes_hides_none(knack: Town) -> None:
    """Knack's count stays the same, and the first record of the next page moves to the one that was read."""
    records = knack.service.objects[0].records
    gone = records[0]

    def change() -> None:
        records.pop(0)
        records.append(apis.knack_record(9_999))

    between_pages(knack, 3, change)
    found = {row["grant_id"] for row in knack.read(knack_feed()).rows}
    assert found - {gone["id"]} == {record["id"] for record in records}


@pytest.mark.parametrize("change", ["delete", "insert"])
def test_records_that_shift_between_pages_are_read_again(knack: Town, change: str) -> None:
    records = knack.service.objects[0].records
    new = apis.knack_record(9_999)
    between_pages(knack, 3, lambda: records.pop(0) if change == "delete" else records.insert(0, new))
    read = knack.read(knack_feed())
    assert [row["grant_id"] for row in read.rows] == [record["id"] for record in records]
    assert "reading it again" in knack.log[0]


def test_an_object_that_never_holds_still_fails_the_read(knack: Town) -> None:
    answer, records = knack.service.answer, knack.service.objects[0].records

    def shifting(request: Any) -> Any:
        records.pop(0)
        return answer(request)

    knack.service.answer = shifting
    with pytest.raises(ApiFailed, match=r"grants/grants: Knack counts 24\d\d records.*3 times"):
        knack.read(knack_feed())


def test_an_empty_table_is_read() -> None:
    with airtable_town(0) as airtable, knack_town(0) as knack:
        assert airtable.read(airtable_feed()).rows == []
        assert knack.read(knack_feed()).rows == []


def test_a_bad_value_is_a_reject_with_its_record(airtable: Town) -> None:
    records = airtable.service.bases[BASE][0].records
    records[3].values[apis.BUDGET] = "plenty"
    records[5].values[apis.NAME] = {"error": "#ERROR!"}
    records[9].values[apis.NAME] = "half \ud83d"
    read = airtable.read(airtable_feed())
    assert [(each["record_number"], each["column_name"]) for each in read.rejects] == [
        (4, "budget"),
        (6, "name"),
        (10, None),
    ]
    assert [each["raw_text"][:24] for each in read.rejects] == [f'{{"id":"rec{n:014d}' for n in (3, 5, 9)]
    assert len(read.rows) == 247


def test_a_read_of_rejects_alone_is_refused(airtable: Town) -> None:
    wrong = {**COLUMNS, "name": {"type": "date", "source_name": apis.NAME}}
    with pytest.raises(Refused, match="all 250 records break the contract"):
        airtable.read(airtable_feed(wrong))


@pytest.mark.parametrize(
    "fault",
    [
        Fault(503, "<html>maintenance", times=3, after=2),
        Fault(200, "<html>maintenance", times=3, after=2),
        Fault(429, times=3, after=2),
        Fault(cut=True, times=3, after=2),
    ],
    ids=["5xx", "not JSON", "429", "cut off"],
)
def test_passing_faults_amid_pages_lose_nothing(airtable: Town, fault: Fault) -> None:
    airtable.fail(fault)
    assert [row["programme_id"] for row in airtable.read(airtable_feed()).rows] == ids(250)


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (
            Fault(500, '{"error": {"type": "SERVER_ERROR"}}', times=9, after=2),
            "page 2: Airtable answered 500 .*6 times",
        ),
        (Fault(200, "<html>no", times=9, after=2), "page 2: Airtable answered with '<html>no', which is not a JSON"),
        (Fault(429, times=99, after=2), "page 2: Airtable answered 429, 6 times"),
        (Fault(503, headers={"Retry-After": "3600"}, after=2), "asks to wait for 3,600 seconds"),
    ],
)
def test_lasting_faults_fail_the_read_with_the_page_and_what_to_do(airtable: Town, fault: Fault, told: str) -> None:
    airtable.fail(fault)
    with pytest.raises(ApiFailed, match=f"city/programmes: .*{told}"):
        airtable.read(airtable_feed())
    assert len(airtable.asked) <= 2 + 6


def test_after_a_request_too_many_none_goes_for_thirty_seconds(airtable: Town) -> None:
    for _ in range(5):
        assert airtable.service.answer(_schema_request()).status == 200
    assert airtable.service.answer(_schema_request()).status == 429  # somebody else's
    assert len(airtable.read(airtable_feed()).rows) == 250
    assert max(airtable.clock.slept) == 30.5  # the lockout, and half a second of jitter
    assert airtable.log == [
        "city/programmes: the fields of the table tblProgrammes00001: Airtable answered 429 (RATE_LIMIT_REACHED 'Rate"
        " limit exceeded. Please try again later'); trying again in 30 seconds"
    ]


def test_a_request_too_many_holds_every_other_back(airtable: Town) -> None:
    client, sleep, answered = airtable.client(), airtable.clock.sleep, list[float]()
    answer = airtable.service.answer

    def watched(request: Any) -> Any:
        answered.append(airtable.clock())
        return answer(request)

    def another_thread(seconds: float) -> None:
        airtable.clock.sleep = sleep  # type: ignore[method-assign]
        client.get(f"v0/meta/bases/{BASE}/tables", {}, "another feed")
        sleep(seconds)

    airtable.service.answer, airtable.clock.sleep = watched, another_thread  # type: ignore[method-assign]
    airtable.fail(Fault(429))
    began = airtable.clock()
    client.get(f"v0/meta/bases/{BASE}/tables", {}, "a feed")
    client.close()
    assert len(answered) == 2
    assert min(answered) >= began + 30


def _schema_request() -> Any:
    from data_platform.local_cloud.web.server import Request

    return Request("GET", f"v0/meta/bases/{BASE}/tables", {}, {"authorization": f"Bearer {TOKEN}"})


def test_a_read_that_breaks_off_between_pages_has_passed_nothing_on(airtable: Town) -> None:
    airtable.fail(Fault(500, times=6, after=3))
    client, passed = airtable.client(), []
    source = WebSource(airtable_feed(), lambda: nullcontext(client))
    (slice_,) = source.plan(since=None, partition=None, unfinished=())
    with pytest.raises(ApiFailed, match="page 3"), source.open(slice_) as reading:
        for chunk in reading.chunks():
            passed.append(chunk)
    assert passed == []
    assert len(airtable.read_with(client, airtable_feed()).rows) == 250
    client.close()


def test_an_exceeded_plan_is_told_and_not_tried_again(knack: Town) -> None:
    knack.service.left_today = 2
    with pytest.raises(ApiFailed, match=r"page 3: .*requests for today are used up. There are more in 23.7 hours"):
        knack.read(knack_feed())
    assert len(knack.asked) == 4


@pytest.mark.parametrize(
    ("key", "told"),
    [("patWrong", "answered 401 .*token is wrong"), ("patBase", "answered 403 .*schema.bases:read")],
)
def test_a_key_that_may_not_read_is_told_and_never_shown(airtable: Town, key: str, told: str) -> None:
    airtable.service.tokens["patBase"] = Token(frozenset(("data.records:read",)), frozenset((BASE,)))
    with pytest.raises(ApiFailed, match=told) as error:
        airtable.read(airtable_feed(), key)
    assert key not in str(error.value)
    assert len(airtable.asked) == 1


def test_an_answer_that_quotes_the_key_is_told_without_it(knack: Town) -> None:
    knack.fail(Fault(401, f'{{"errors": [{{"message": "bad key {KEY}"}}]}}'))
    with pytest.raises(ApiFailed, match=r"bad key ….*API key") as error:
        knack.read(knack_feed())
    assert KEY not in str(error.value)
    assert KEY not in repr(knack.client().address)


@pytest.mark.parametrize("from_", ["tblMissing00000001"])
def test_a_table_that_is_gone_is_told_with_those_there_are(airtable: Town, knack: Town, from_: str) -> None:
    with pytest.raises(ApiFailed, match=r"no such table; it has tblProgrammes00001 \(Programmes\)"):
        airtable.read(airtable_feed(**{"from": from_}))
    with pytest.raises(ApiFailed, match=r"no such object; it has object_1 \(Grants\)"):
        knack.read(knack_feed(**{"from": "object_7"}))


def test_knacks_raw_values_are_read_beside_formatted_ones(knack: Town) -> None:
    answer = knack.service.answer
    knack.service.answer = lambda request: answer(type(request)(request.method, request.path, {
        **request.query, "format": ["both"]
    }, request.headers))  # fmt: skip
    assert knack.read(knack_feed()).rows[0]["opened"] == datetime(2026, 3, 7, 15, 30, tzinfo=UTC)


def test_a_field_of_an_object_may_be_absent(knack: Town) -> None:
    for record in knack.service.objects[0].records[1:]:
        del record["field_3"]
    read = knack.read(knack_feed(GRANTS))
    assert [row["site"] is None for row in read.rows] == [False] + [True] * 2_499
