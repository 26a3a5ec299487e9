from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_platform.feeds.spec import WHOLE, LoadMode
from data_platform.landing.outcomes import DeliveryRow, Settlement, Settling, decide

NOON = datetime(2026, 3, 8, 12, tzinfo=UTC)


def wanted(
    number: int,
    *,
    name: str = "readings.csv",
    content: str | None = None,
    partition: str | None = None,
    status: str = "loaded",
    landed: int | None = None,
    extract: str | None = None,
) -> Settlement:
    """Delivery `number`, landed that many minutes after noon, of its own content unless said otherwise."""
    return Settlement(
        delivery_id=f"d{number}",
        partner="harbor_water",
        feed="meter_readings",
        file_name=name,
        object_key=f"inbound/harbor_water/{name}",
        version_id=f"v{number}",
        etag="e",
        size_bytes=1,
        content_sha256=content or f"content {number}",
        landed_at=NOON + timedelta(minutes=number if landed is None else landed),
        partition=partition,
        status=status,  # type: ignore[arg-type]
        rows_read=10,
        rows_rejected=1,
        extract_id=(extract or f"e{number}") if status == "loaded" else None,
    )


def settle(
    ledger: dict[str, DeliveryRow],
    *settlements: Settlement,
    mode: LoadMode = "append",
    reload: bool = False,
    overwritten: Sequence[str] = (),
) -> Settling:
    """Decides, and puts what is decided in the ledger."""
    decision = decide(
        settlements, ledger.values(), mode=mode, run_id="r", now=NOON, reload=reload, overwritten=overwritten
    )
    ledger.update(decision.write)
    return decision


def statuses(ledger: dict[str, DeliveryRow]) -> dict[str, str]:
    return {delivery_id: row.status for delivery_id, row in ledger.items()}


def test_the_same_content_under_another_name_is_a_duplicate() -> None:
    ledger: dict[str, DeliveryRow] = {}
    settle(ledger, wanted(1, name="a.csv", content="same"))
    decision = settle(ledger, wanted(2, name="b.csv", content="same"))
    assert (decision.load, decision.remove) == ([], set())
    assert decision.outcomes["d2"].status == "duplicate"
    assert decision.outcomes["d2"].reason == "same content as a.csv (delivery d1)"
    assert decision.outcomes["d2"].rows_loaded == 0


def test_the_same_content_for_another_partition_is_no_duplicate() -> None:
    ledger: dict[str, DeliveryRow] = {}
    settle(ledger, wanted(1, name="0308.csv", content="same", partition="2026-03-08"))
    decision = settle(ledger, wanted(2, name="0309.csv", content="same", partition="2026-03-09"))
    assert decision.load == ["e2"]


def test_content_that_comes_back_is_loaded_again_if_its_rows_were_overwritten() -> None:
    ledger: dict[str, DeliveryRow] = {}
    settle(ledger, wanted(1, name="mon.csv", content="A"), mode="merge")
    settle(ledger, wanted(2, name="tue.csv", content="B"), mode="merge")
    whole = settle(ledger, wanted(3, name="mon again.csv", content="A"), mode="merge")
    assert whole.outcomes["d3"].status == "duplicate"
    back = settle(ledger, wanted(4, name="wed.csv", content="A"), mode="merge", overwritten=["e1"])
    assert (back.load, back.outcomes["d4"].status) == (["e4"], "loaded")


def test_the_same_content_twice_at_once_is_loaded_once() -> None:
    decision = settle({}, wanted(2, name="b", content="same"), wanted(1, name="a", content="same"))
    assert decision.load == ["e1"]
    assert decision.outcomes["d2"].status == "duplicate"


def test_the_same_name_with_other_bytes_supersedes() -> None:
    ledger: dict[str, DeliveryRow] = {}
    settle(ledger, wanted(1))
    decision = settle(ledger, wanted(2))
    assert (decision.load, decision.remove) == (["e2"], {"e1"})
    assert ledger["d1"].status == "superseded"
    assert ledger["d1"].superseded_by == "d2"
    assert ledger["d1"].rows_loaded == 9


def test_going_back_to_earlier_content_supersedes_again() -> None:
    ledger: dict[str, DeliveryRow] = {}
    settle(ledger, wanted(1, content="old"))
    settle(ledger, wanted(2, content="new"))
    assert settle(ledger, wanted(3, content="old")).load == ["e3"]
    assert statuses(ledger) == {"d1": "superseded", "d2": "superseded", "d3": "loaded"}


def test_of_three_versions_at_once_only_the_last_is_loaded() -> None:
    ledger: dict[str, DeliveryRow] = {}
    decision = settle(ledger, wanted(3), wanted(1), wanted(2))
    assert (decision.load, decision.remove) == (["e3"], set())
    assert statuses(ledger) == {"d1": "superseded", "d2": "superseded", "d3": "loaded"}
    assert ledger["d1"].rows_loaded == 0


def test_an_older_version_that_comes_late_is_superseded_on_arrival() -> None:
    ledger: dict[str, DeliveryRow] = {}
    settle(ledger, wanted(2))
    decision = settle(ledger, wanted(1))
    assert (decision.load, decision.remove) == ([], set())
    assert decision.outcomes["d1"].superseded_by == "d2"


@pytest.mark.parametrize("mode", WHOLE)
def test_a_delivery_that_is_a_whole_partition_supersedes_others_of_it(mode: LoadMode) -> None:
    ledger: dict[str, DeliveryRow] = {}
    settle(ledger, wanted(1, name="a", partition="8"), wanted(2, name="b", partition="9"), mode=mode)
    decision = settle(ledger, wanted(3, name="c", partition="8"), mode=mode)
    assert (decision.load, decision.remove) == (["e3"], {"e1"})
    assert statuses(ledger) == {"d1": "superseded", "d2": "loaded", "d3": "loaded"}


def test_a_full_list_that_returns_to_an_earlier_state_is_loaded_again() -> None:
    ledger: dict[str, DeliveryRow] = {}
    for number, content in enumerate(["list A", "list B", "list A"], start=1):
        settle(ledger, wanted(number, name=f"stations {number}.xlsx", content=content), mode="replace")
    assert statuses(ledger) == {"d1": "superseded", "d2": "superseded", "d3": "loaded"}


def test_what_an_earlier_try_settled_is_left_alone() -> None:
    ledger: dict[str, DeliveryRow] = {}
    first = settle(ledger, wanted(1), wanted(2, name="other", status="quarantined"))
    again = settle(ledger, wanted(1), wanted(2, name="other", status="quarantined"))
    assert (again.load, again.remove, again.write) == ([], set(), {})
    assert again.outcomes == first.outcomes


def test_a_reload_takes_out_and_loads_again() -> None:
    ledger: dict[str, DeliveryRow] = {}
    settle(ledger, wanted(1))
    decision = settle(ledger, wanted(1), reload=True)
    assert (decision.load, decision.remove) == (["e1"], {"e1"})


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xyz"), st.sampled_from(["1", "2"])), max_size=7),
    st.sampled_from(["append", "merge", "replace"]),
)
def test_a_reload_changes_no_outcome(delivered: list[tuple[str, str, str]], mode: LoadMode) -> None:
    ledger: dict[str, DeliveryRow] = {}
    each = [
        wanted(number, name=name, content=content, partition=partition)
        for number, (name, content, partition) in enumerate(delivered)
    ]
    for one in each:
        settle(ledger, one, mode=mode)
    before = dict(ledger)
    loaded = [one for one in each if ledger[one.delivery_id].status == "loaded"]
    decision = settle(ledger, *loaded, mode=mode, reload=True)
    assert {key: (row.status, row.rows_loaded) for key, row in ledger.items()} == {
        key: (row.status, row.rows_loaded) for key, row in before.items()
    }
    assert sorted(decision.load) == sorted(str(one.extract_id) for one in loaded)


def test_a_delivery_read_anew_replaces_its_own_rows() -> None:
    ledger: dict[str, DeliveryRow] = {}
    settle(ledger, wanted(1))
    decision = settle(ledger, wanted(1, extract="e1 under the new contract"))
    assert (decision.load, decision.remove) == (["e1 under the new contract"], {"e1"})


def test_what_was_quarantined_can_be_loaded_later() -> None:
    ledger: dict[str, DeliveryRow] = {}
    settle(ledger, wanted(1, status="quarantined"))
    assert settle(ledger, wanted(1)).load == ["e1"]
    assert ledger["d1"].status == "loaded"


def test_rows_that_are_loaded_are_not_quarantined_by_a_stale_try() -> None:
    ledger: dict[str, DeliveryRow] = {}
    settle(ledger, wanted(1))
    assert settle(ledger, wanted(1, status="quarantined")).outcomes["d1"].status == "loaded"


def test_a_duplicate_is_loaded_when_its_twin_is_corrected() -> None:
    ledger: dict[str, DeliveryRow] = {}
    settle(ledger, wanted(1, name="east.csv", content="west's"), wanted(2, name="west.csv", content="west's"))
    decision = settle(ledger, wanted(3, name="east.csv", content="east's"))
    assert (decision.load, decision.remove) == (["e3", "e2"], {"e1"})
    assert statuses(ledger) == {"d1": "superseded", "d2": "loaded", "d3": "loaded"}
    assert ledger["d2"].reason == "had the same content as east.csv, which east.csv has superseded"
    assert ledger["d2"].rows_loaded == 9


def test_a_duplicate_that_was_corrected_itself_is_not_loaded() -> None:
    ledger: dict[str, DeliveryRow] = {}
    settle(ledger, wanted(1, name="east.csv", content="same"), wanted(2, name="west.csv", content="same"))
    settle(ledger, wanted(3, name="west.csv", content="west's"))
    assert settle(ledger, wanted(4, name="east.csv", content="east's")).load == ["e4"]


def test_a_duplicate_supersedes_what_its_file_held_before() -> None:
    ledger: dict[str, DeliveryRow] = {}
    settle(ledger, wanted(1, name="east.csv", content="right"), wanted(2, name="west.csv", content="wrong"))
    decision = settle(ledger, wanted(3, name="west.csv", content="right"))
    assert (decision.load, decision.remove) == ([], {"e2"})
    assert statuses(ledger) == {"d1": "loaded", "d2": "superseded", "d3": "duplicate"}


_files = st.tuples(st.sampled_from("abc"), st.sampled_from("xyz"), st.sampled_from([None, "8", "9"]))


@given(
    files=st.lists(_files, max_size=12),
    data=st.data(),
    mode=st.sampled_from(["append", "merge", "replace", "history"]),
)
def test_whatever_comes_in_whatever_batches_the_ledger_adds_up(
    files: list[tuple[str, str, str | None]], data: st.DataObject, mode: LoadMode
) -> None:
    """Deliveries come in any order, packed into any batches, some more than once: what is loaded is exactly
    what the ledger says is loaded, and no two of it compete."""
    deliveries = [
        wanted(number, name=f"{name}-{partition}", content=content, partition=partition)
        for number, (name, content, partition) in enumerate(files)
    ]
    ledger: dict[str, DeliveryRow] = {}
    table: list[str] = []
    queue = data.draw(st.permutations(deliveries + deliveries[:3]))
    while queue:
        size = data.draw(st.integers(1, len(queue)))
        batch, queue = list({each.delivery_id: each for each in queue[:size]}.values()), queue[size:]
        decision = settle(ledger, *batch, mode=mode)
        assert decision.remove <= set(table)
        table = [extract for extract in table if extract not in decision.remove] + decision.load
        assert set(decision.outcomes) == {each.delivery_id for each in batch}
    loaded = [row for row in ledger.values() if row.status == "loaded"]
    assert sorted(table) == sorted(str(row.extract_id) for row in loaded)
    assert len(ledger) == len(deliveries)
    for name in ("file_name", "partition") if mode in WHOLE else ("file_name",):
        assert len({getattr(row, name) for row in loaded}) == len(loaded)
    contents = {(row.partition, row.content_sha256) for row in loaded}
    assert len(contents) == len(loaded)
    last = {each.partition if mode in WHOLE else each.file_name: each for each in deliveries}
    assert contents == {(each.partition, each.content_sha256) for each in last.values()}, "the latest of each"
    for row in ledger.values():
        assert (row.status == "superseded") == (row.superseded_by is not None)
        assert row.status != "loaded" or row.rows_read == row.rows_loaded + row.rows_rejected
