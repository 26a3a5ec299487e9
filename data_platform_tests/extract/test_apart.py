"""Extracts are loaded apart until what Snowflake refuses is alone; any other error ends the load."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from snowflake.connector.errors import DatabaseError, OperationalError, ProgrammingError

from data_platform.extract.apart import load_apart
from data_platform.lake.manifest import Manifest
from data_platform.warehouse.refused_data import refuses_data

NOON = datetime(2026, 3, 8, 12, tzinfo=UTC)
EMPTY = Manifest("", "s", "t", None, "", (), (), 0, 0, None, None, None, NOON, NOON, None)
REFUSAL = ProgrammingError(msg="Numeric value 'x' is not recognized", errno=100038, sqlstate="22018")


@pytest.mark.parametrize(
    ("number", "state", "refuses"),
    [
        (100038, "22018", True),  # Numeric value 'x' is not recognized
        (100046, "22003", True),  # Number out of representable range
        (100072, "22000", True),  # NULL result in a non-nullable column
        (91016, "22000", False),  # Remote file '...' was not found
        (1003, "42000", False),  # SQL compilation error: syntax error
        (3001, "42501", False),  # Insufficient privileges
        (606, "57P03", False),  # No active warehouse selected
        (604, "57014", False),  # SQL execution canceled
        (625, "57014", False),  # Statement has locked table in another transaction
        (630, "57014", False),  # Statement reached its statement or warehouse timeout
        (603, "XX000", False),  # SQL execution internal error
        (250001, "08001", False),  # Could not connect
        (390114, "08001", False),  # Authentication token has expired
        (None, None, False),
    ],
)
def test_only_a_refused_value_is_the_datas_fault(number: int | None, state: str | None, refuses: bool) -> None:
    for kind in (ProgrammingError, DatabaseError):
        assert refuses_data(kind(msg="m", errno=number, sqlstate=state)) == refuses
    assert not refuses_data(ConnectionError("reset by peer"))


@given(st.lists(st.tuples(st.booleans(), st.sampled_from([None, None, "s1", "s2", "s3"])), min_size=1, max_size=40))
def test_all_good_extracts_are_loaded_and_each_bad_one_is_refused(kinds: list[tuple[bool, str | None]]) -> None:
    given_ones = [
        replace(EMPTY, extract_id=str(number), snapshot_id=snapshot) for number, (_, snapshot) in enumerate(kinds)
    ]
    bad = {str(number) for number, (is_bad, _) in enumerate(kinds) if is_bad}
    loaded: list[list[Manifest]] = []
    refused: list[Manifest] = []

    def load(manifests: Sequence[Manifest]) -> None:
        if not bad.isdisjoint(each.extract_id for each in manifests):
            raise REFUSAL
        loaded.append(list(manifests))

    load_apart(given_ones, load, lambda manifests, error: refused.extend(manifests))
    spoiled = {each.snapshot_id for each in given_ones if each.extract_id in bad and each.snapshot_id}
    expected = {each.extract_id for each in given_ones if each.extract_id in bad or each.snapshot_id in spoiled}
    assert {each.extract_id for each in refused} == expected
    done = [each.extract_id for part in loaded for each in part]
    assert sorted([*done, *expected], key=int) == [each.extract_id for each in given_ones]
    for part in loaded:
        for snapshot in {each.snapshot_id for each in part} - {None}:
            assert sum(each.snapshot_id == snapshot for each in part) == sum(
                each.snapshot_id == snapshot for each in given_ones
            )


def test_an_outage_ends_the_load_and_refuses_nothing() -> None:
    outage = OperationalError(msg="Could not connect to Snowflake backend", errno=250001, sqlstate="08001")
    tries: list[int] = []

    def load(manifests: Sequence[Manifest]) -> None:
        tries.append(len(manifests))
        raise REFUSAL if len(tries) < 3 else outage

    given_ones = [replace(EMPTY, extract_id=str(number)) for number in range(8)]
    with pytest.raises(OperationalError):
        load_apart(given_ones, load, lambda manifests, error: pytest.fail("refused"))
    assert tries == [8, 4, 2]
