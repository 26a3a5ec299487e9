"""Files that were once read wrongly, each with its feed, in `cases/`: the right outcome of each.

A case is a kind of fault that real files showed. The other tests of the reader have the rest of its kind.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest
import yaml
from pydantic import ValidationError

from data_platform.extract.source import Refused
from data_platform.feeds.files import FileFeedSpec
from data_platform.landing.bucket import LandingBucket, Pending
from data_platform.landing.delivery import Delivery
from data_platform.landing.feed_index import FeedIndex
from data_platform.landing.inbox import scan
from data_platform.landing.readers.csv import CsvReader
from data_platform.landing.reading import DeliveryReading
from data_platform.landing.sorting import Scan
from data_platform.landing.versions import Work

CASES = Path(__file__).parent / "cases"
NOW = datetime(2026, 6, 7, tzinfo=UTC)


class Folder:
    """Stands for the landing bucket: a case's files as the pending ones of the partner `p`."""

    def __init__(self, case: str) -> None:
        self._folder = CASES / case

    def pages(self, start_after: str | None = None) -> list[list[Pending]]:
        names = sorted(path.name for path in self._folder.iterdir() if path.name != "defs.yaml")
        return [[Pending(f"inbound/p/{name}", '"e"', 1, NOW) for name in names]]

    def exists(self, key: str) -> bool:
        return (self._folder / key.removeprefix("inbound/p/")).exists()

    def open(self, delivery: Delivery) -> BinaryIO:
        return io.BytesIO((self._folder / delivery.file_name).read_bytes())


@dataclass(frozen=True)
class Outcome:
    """What reading a delivery ended as: its rows without the platform's columns; (record number, reason) of its
    rejects; the reason to quarantine it, if there is one."""

    rows: list[dict[str, Any]]
    rejects: list[tuple[int, str]]
    quarantined: str | None
    columns: list[str]


def feed(case: str) -> FileFeedSpec:
    attributes = yaml.safe_load((CASES / case / "defs.yaml").read_text())["attributes"]
    return FileFeedSpec.of({"source": "p", "table": "f", **attributes})


def scanned(case: str) -> Scan:
    return scan(cast(LandingBucket, Folder(case)), FeedIndex([feed(case)]), now=NOW)


def read(case: str, name: str, companion: str | None = None) -> Outcome:
    """A file of a case, read as a run reads it."""

    def delivery(name: str) -> Delivery:
        return Delivery(f"inbound/p/{name}", "1", '"e"', 1, NOW)

    work = Work(delivery(name), delivery(companion) if companion else None)
    reading = DeliveryReading(work, feed(case), cast(LandingBucket, Folder(case)))
    rows: list[dict[str, Any]] = []
    rejects: list[tuple[int, str]] = []
    quarantined = None
    try:
        for chunk in reading.chunks():
            rows += [{key: value for key, value in row.items() if key[0] != "_"} for row in chunk.rows.to_pylist()]
            assert chunk.rejects is not None
            rejects += [(found["record_number"], found["reason"]) for found in chunk.rejects.to_pylist()]
    except Refused as error:
        quarantined = str(error)
    return Outcome(rows, rejects, quarantined, [column.name for column in reading.contract.columns])


def test_a_file_in_transfer_waits_whatever_the_pattern_matches() -> None:
    found = scanned("file_in_transfer")
    assert [ready.pending.file_name for ready in found.ready] == ["sales_1.csv"]
    assert [(waiting.pending.file_name, waiting.reason) for waiting in found.waiting] == [
        ("sales_1.csv.filepart", "it is named as a file that is still being sent")
    ]


def test_a_quote_that_is_never_closed_quarantines_the_file_whose_lines_it_swallows() -> None:
    found = read("unclosed_quote", "swallow.csv")
    assert found.quarantined is not None
    assert "record 91 goes on over 10 lines" in found.quarantined
    assert "set format.quote to none" in found.quarantined


@pytest.mark.parametrize(("name", "found"), [("renamed.csv", "'identifier', 'amount'"), ("semicolons.csv", "'id;amt'")])
def test_a_file_with_none_of_the_columns_is_quarantined_not_loaded_as_nulls(name: str, found: str) -> None:
    assert read("wrong_header", name).quarantined == (
        f"p/f: {name}: the file has none of the contract's 2 columns; expected 'id', 'amt'; found {found}. Send the"
        " expected columns."
        + (" The header is one field: is the delimiter ';'?" if name == "semicolons.csv" else "")
        + " Operator: if the file is right, change the feed's format or source_name in its contract"
    )


def test_a_column_without_a_name_is_named_by_its_place() -> None:
    row = {"id": 1, "amt": Decimal("2.00")}
    assert read("unnamed_column", "trailing.csv").rows == [row | {"column_3": None}]
    assert read("unnamed_column", "pandas_index.csv").rows == [row | {"column_1": "0"}]


def test_new_columns_in_another_script_have_names_of_their_own() -> None:
    (row,) = read("other_script", "greek.csv").rows
    assert list(row.values()) == [1, Decimal("2.00"), "a", "b"]
    assert all(name.startswith("column_") for name in [*row][2:])


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("w_a.csv", None),
        ("w_b.csv", 'can\'t be checked: its rows is "1", not a whole number; expected'),
        ("w_c.csv", "it has a member 'Rows', which is none of file, rows, bytes, sha256; it has a member 'SHA256'"),
    ],
)
def test_a_manifest_is_checked_in_every_member_or_refused(name: str, reason: str | None) -> None:
    found = read("manifest_spelling", name, f"{name}.manifest.json").quarantined
    assert found is None if reason is None else found is not None and reason in found


def test_a_whole_number_is_one_whatever_type_the_file_gives_it() -> None:
    assert read("int_from_decimal", "d.parquet").rows == [{"v": 5}]


def test_a_parquet_page_whose_checksum_is_wrong_quarantines_the_file() -> None:
    found = read("parquet_checksum", "flipped.parquet").quarantined
    assert found is not None
    assert "CRC checksum verification failed" in found


def test_a_date_beyond_the_calendar_is_a_reject() -> None:
    found = read("parquet_far_date", "far.parquet")
    assert [row["id"] for row in found.rows] == [1]
    assert (found.rejects, found.quarantined) == ([(2, "valid_to: is outside the years 1..9999")], None)


def test_a_nan_within_a_struct_is_a_reject_as_json_has_none() -> None:
    assert read("nan_in_struct", "nan.parquet").rejects == [(1, "m: holds NaN, which is not JSON")]


def test_a_formula_whose_value_was_never_stored_is_a_reject() -> None:
    found = read("formula_without_value", "formula.xlsx")
    reason = "sum: holds a formula without a stored value"
    assert (found.rows, found.rejects) == ([], [(2, reason), (3, reason)])
    assert "2 of 2 rows break the contract" in str(found.quarantined)
    assert f"(the first: record 2, {reason})" in str(found.quarantined), "the receipt is all that the partner sees"


def test_half_a_character_is_a_reject() -> None:
    found = read("lone_surrogate", "cut.jsonl")
    assert [row["id"] for row in found.rows] == [1]
    assert [number for number, _ in found.rejects] == [2, 3]
    assert all("half a character" in reason for _, reason in found.rejects)


def test_json_nested_too_deep_is_a_reject() -> None:
    found = read("deep_json", "deep.jsonl")
    assert (found.rows, [number for number, _ in found.rejects]) == ([{"id": 1, "m": "1"}], [2])


def test_an_option_without_effect_is_refused_before_a_file_comes() -> None:
    with pytest.raises(ValidationError, match="the empty word in false_words has no effect"):
        feed("empty_false_word")


@pytest.mark.parametrize("where", ["__init__", "chunks"])
def test_a_fault_of_a_reader_quarantines_its_file_and_an_outage_does_not(
    where: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(error: Exception) -> Any:
        def failing(*given: object) -> Any:
            raise error

        return failing

    monkeypatch.setattr(CsvReader, where, fail(OverflowError("too far")))
    found = read("manifest_spelling", "w_a.csv").quarantined
    assert found is not None
    assert "failed on what the file holds (OverflowError: too far). The fault is the platform's" in found
    assert "in the log of the run that the receipt names as run_id" in found
    assert "test_cases.py" in caplog.text  # where it failed
    monkeypatch.setattr(CsvReader, where, fail(ConnectionError("reset")))
    with pytest.raises(ConnectionError):
        read("manifest_spelling", "w_a.csv")


def test_the_noise_of_binary_fractions_is_rounded_where_the_contract_says_so() -> None:
    found = read("float_noise", "noise.xlsx")
    assert ([str(row["amt"]) for row in found.rows], found.rejects) == (
        ["0.30", "19.99", "3.30", "435.00", "68.67"],
        [],
    )
