"""A file's columns against the contract's: order and case don't matter, presence does."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from data_platform.feeds.file_contract import FileContract
from data_platform.landing.delivery import ContractViolation, DeliveryUnreadable
from data_platform.landing.header import match_header


def contract(drift: str = "reject") -> FileContract:
    return FileContract.model_validate(
        {
            "columns": [
                {"name": "meter_id", "type": "string", "nullable": False, "source_name": "Meter ID"},
                {"name": "flow", "type": "int32"},
                {"name": "status", "type": "string"},
            ],
            "drift": drift,
        }
    )


@given(st.permutations([0, 1, 2]), st.booleans())
def test_order_case_and_blanks_around_names_dont_matter(order: list[int], upper: bool) -> None:
    names = [" Meter ID ", "flow\t", "status"]
    found = [names[at].upper() if upper else names[at] for at in order]
    assert [order[place] for place in match_header(found, contract(), "f").positions if place is not None] == [0, 1, 2]


def test_an_exact_name_is_preferred_to_one_in_another_case() -> None:
    header = match_header(["FLOW", "flow", "Meter ID", "status"], contract("ignore"), "f")
    assert header.positions == (2, 1, 3)


@pytest.mark.parametrize("drift", ["reject", "evolve", "ignore"])
def test_a_missing_required_column_is_a_violation_that_names_the_nearest(drift: str) -> None:
    with pytest.raises(ContractViolation) as raised:
        match_header(["MeterID", "flow", "status"], contract(drift), "harbor_water/meters: m.csv")
    assert str(raised.value) == (
        "harbor_water/meters: m.csv: the file has no column 'Meter ID' (the nearest is 'MeterID'); expected"
        " 'Meter ID', 'flow', 'status'; found 'MeterID', 'flow', 'status'. Send the expected columns."
        " Operator: if the file is right, change source_name in the feed's contract"
    )


def test_a_missing_nullable_column_is_null_unless_drift_is_rejected() -> None:
    assert match_header(["Meter ID", "status"], contract("ignore"), "f").positions == (0, None, 1)
    assert match_header(["Meter ID", "status"], contract("evolve"), "f").positions == (0, None, 1)
    with pytest.raises(ContractViolation, match="no column 'flow'"):
        match_header(["Meter ID", "status"], contract(), "f")


def test_an_unknown_column_is_refused_ignored_or_added() -> None:
    found = ["Pump Type", "Meter ID", "flow", "status"]
    with pytest.raises(ContractViolation, match="doesn't know the columns 'Pump Type'"):
        match_header(found, contract(), "f")
    assert match_header(found, contract("ignore"), "f").positions == (1, 2, 3)
    header = match_header(found, contract("evolve"), "f")
    assert (header.positions, header.contract.columns[-1].name) == ((1, 2, 3, 0), "pump_type")


def test_a_repeated_column_is_a_violation() -> None:
    with pytest.raises(ContractViolation, match="names 'flow' more than once"):
        match_header(["Meter ID", "flow", "flow ", "status"], contract(), "f")


def test_a_repeated_column_that_is_left_out_anyway_does_not_matter() -> None:
    found = ["", "note", "Meter ID", "flow", "status", "note", ""]
    assert match_header(found, contract("ignore"), "f").positions == (2, 3, 4)
    with pytest.raises(ContractViolation, match="names 'note' more than once"):
        match_header(found, contract("evolve"), "f")
    with pytest.raises(
        ContractViolation, match=r"the columns 'column_1' \(a column without a name is named by its place"
    ):
        match_header(["", "Meter ID", "flow", "status"], contract(), "f")


def test_columns_without_a_name_keep_their_values_where_columns_may_be_added() -> None:
    header = match_header(["", "Meter ID", "flow", "status", ""], contract("evolve"), "f")
    assert header.positions == (1, 2, 3, 0, 4)
    assert [column.name for column in header.contract.columns[3:]] == ["column_1", "column_5"]


@pytest.mark.parametrize("drift", ["evolve", "ignore"])
@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (["Meter ID", '"flow"', '"status"'], "no column 'flow' .the nearest is '\"flow\"'"),
        (["Meter ID", "flow", "Sta-tus"], "no column 'status' .the nearest is 'Sta-tus'"),
    ],
)
def test_a_misspelt_column_is_never_nulls(found: list[str], reason: str, drift: str) -> None:
    with pytest.raises(ContractViolation, match=reason):
        match_header(found, contract(drift), "f")


@pytest.mark.parametrize("drift", ["evolve", "ignore"])
def test_a_header_that_shares_few_columns_is_another_files(drift: str) -> None:
    wide = FileContract.model_validate(
        {"columns": [{"name": name, "type": "string"} for name in ("id", "b", "c", "d")], "drift": drift}
    )
    with pytest.raises(ContractViolation, match="only 1 of the contract's 4 columns"):
        match_header(["id", "x", "y"], wide, "f")
    assert match_header(["id"], wide, "f").positions == (0, None, None, None)


def test_new_columns_whose_names_become_the_same_are_refused_in_plain_words() -> None:
    with pytest.raises(ContractViolation) as raised:
        match_header(["Meter ID", "flow", "status", "a b", "a-b"], contract("evolve"), "f")
    assert str(raised.value) == (
        "f: the new columns can't be added: 'a b' and 'a-b' would both be the column a_b. Rename one. Operator: if"
        " the file is right, declare them in the feed's contract with a source_name"
    )


@given(st.lists(st.text("αβж日a1 #€", min_size=1, max_size=130).filter(str.strip), min_size=2, max_size=2))
def test_a_new_columns_name_depends_on_its_header_alone(found: list[str]) -> None:
    first, second = (contract("evolve").evolved((header.strip(),)).columns[-1].name for header in found)
    assert first[:1].isalpha()
    assert (first == second) <= (_plain(found[0]) == _plain(found[1]))


def _plain(header: str) -> str:
    """What is left of a header when its marks are taken for blanks."""
    return " ".join("".join(c if c.isalnum() else " " for c in header).lower().split()) or header.strip()


@pytest.mark.parametrize("drift", ["reject", "ignore"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_a_header_that_is_one_field_asks_whether_the_delimiter_is_another(delimiter: str, drift: str) -> None:
    with pytest.raises(ContractViolation) as raised:
        match_header([delimiter.join(("Meter ID", "flow", "status"))], contract(drift), "f")
    assert f"The header is one field: is the delimiter {delimiter!r}? Operator: " in str(raised.value)
    with pytest.raises(ContractViolation) as raised:
        match_header(["Meter"], contract(drift), "f")
    assert "delimiter" not in str(raised.value)


def test_a_header_without_names_is_unreadable() -> None:
    with pytest.raises(DeliveryUnreadable, match="there is no header row"):
        match_header(["", " "], contract(), "f")


@pytest.mark.timeout(60)
@pytest.mark.parametrize("drift", ["reject", "evolve", "ignore"])
def test_a_line_of_data_in_a_headers_place_is_told_at_once_and_in_few_words(drift: str) -> None:
    with pytest.raises(DeliveryUnreadable, match="300003 columns") as raised:
        match_header([*contract().arrow_schema.names, *map(str, range(300_000))], contract(drift), "f")
    assert len(str(raised.value)) < 1_000


@pytest.mark.timeout(60)
def test_thousands_of_new_columns_are_data() -> None:
    with pytest.raises(ContractViolation, match="adds 3000 columns, which looks like data"):
        match_header(["Meter ID", "flow", "status", *(f"c{n}" for n in range(3_000))], contract("evolve"), "f")
    with pytest.raises(ContractViolation, match="and 2950 more") as raised:
        match_header(["Meter ID", "flow", "status", *(f"c{n}" * 50 for n in range(3_000))], contract("reject"), "f")
    assert len(str(raised.value)) < 10_000


def sparse(**change: Any) -> FileContract:
    columns = [
        {"name": "id", "type": "int32", "nullable": False},
        *({"name": f"c{n}", "type": "string"} for n in range(8)),
    ]
    return FileContract.model_validate({"columns": columns, "drift": "ignore", "sparse": True} | change)


def test_a_file_with_few_of_the_columns_is_taken_where_the_contract_is_sparse() -> None:
    names = ["id", "c3", "x", "y", "z"]
    assert match_header(names, sparse(), "p/f: m.csv").positions[:5] == (0, None, None, None, 1)
    assert match_header(names, sparse(drift="evolve"), "p/f: m.csv").contract.sparse
    with pytest.raises(ContractViolation, match=r"only 2 of the contract's 9 columns; .* set its sparse to true$"):
        match_header(names, sparse(sparse=False), "p/f: m.csv")
    with pytest.raises(ContractViolation, match="none of the contract's 8 columns"):
        match_header(["x", "y"], sparse(columns=sparse().columns[1:]), "p/f: m.csv")


def test_sparse_is_refused_where_it_has_no_effect_and_changes_no_other_contracts_hash() -> None:
    for change in ({"drift": "reject"}, {"columns": sparse().columns[:3]}):
        with pytest.raises(ValidationError, match="sparse has no effect"):
            sparse(**change)
    assert sparse().hash != sparse(sparse=False).hash
