"""What a contract promises of a feed's columns, and what it refuses to be."""

from __future__ import annotations

import string

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from data_platform.contract import Column, Contract, parse_type, quoted
from data_platform.feeds.file_contract import FileColumn, FileContract

METERS = {
    "columns": [
        {"name": "meter_id", "type": "string", "nullable": False},
        {"name": "reading", "type": "decimal(12,3)"},
        {"name": "read_at", "type": "timestamp", "time_zone": "America/New_York"},
    ],
    "key": ["meter_id"],
}


@pytest.mark.parametrize(
    ("text", "arrow", "snowflake"),
    [
        ("string", pa.string(), "VARCHAR"),
        ("int8", pa.int8(), "NUMBER(3,0)"),
        ("int64", pa.int64(), "NUMBER(19,0)"),
        ("decimal(38,10)", pa.decimal128(38, 10), "NUMBER(38,10)"),
        ("decimal(1, 0)", pa.decimal128(1, 0), "NUMBER(1,0)"),
        ("float", pa.float64(), "FLOAT"),
        ("boolean", pa.bool_(), "BOOLEAN"),
        ("date", pa.date32(), "DATE"),
        ("timestamp", pa.timestamp("us", tz="UTC"), "TIMESTAMP_TZ(6)"),
        ("time", pa.time64("us"), "TIME(6)"),
        ("json", pa.string(), "VARIANT"),
        ("binary", pa.binary(), "BINARY"),
        ("geometry(4326)", pa.binary(), "GEOMETRY"),
    ],
)
def test_every_type_has_an_arrow_and_a_snowflake_type(text: str, arrow: pa.DataType, snowflake: str) -> None:
    column = Column(name="x", type=text)
    assert (column.arrow_type, column.snowflake_type) == (arrow, snowflake)


@given(st.integers(1, 38), st.integers(0, 38))
def test_a_decimal_has_up_to_38_digits_and_no_more_behind_the_mark_than_in_all(precision: int, scale: int) -> None:
    text = f"decimal({precision},{scale})"
    if scale <= precision:
        assert parse_type(text).args == (precision, scale)
    else:
        with pytest.raises(ValueError, match="expected one of: string"):
            parse_type(text)


@given(st.text(string.ascii_lowercase + string.digits + "(), ", max_size=16))
def test_any_other_text_is_refused_with_a_list_of_the_types(text: str) -> None:
    try:
        found = parse_type(text)
    except ValueError as error:
        assert "decimal(p,s)" in str(error)
    else:
        assert found.name in text


@settings(deadline=None)
@given(st.sampled_from(["int8", "int16", "int32", "int64"]), st.integers(-(2**63), 2**63 - 1))
def test_snowflakes_number_holds_every_integer_of_the_size(name: str, value: int) -> None:
    column = Column(name="x", type=name)
    try:
        pa.array([value], column.arrow_type)
    except (pa.ArrowInvalid, OverflowError):
        return
    digits = int(column.snowflake_type[len("NUMBER(") :].split(",")[0])
    assert len(str(abs(value))) <= digits


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"columns": [*METERS["columns"], {"name": "reading", "type": "string"}]}, "column named twice: reading"),
        (
            {"columns": [*METERS["columns"], {"name": "r", "type": "string", "source_name": "reading"}]},
            "read from the same source column: reading",
        ),
        ({"key": ["meter"]}, "key column 'meter' is not one of the columns"),
        ({"key": ["reading"]}, "must have `nullable: false`"),
        ({"columns": []}, "at least 1 item"),
    ],
)
def test_a_contract_that_contradicts_itself_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Contract.model_validate(METERS | change)


@pytest.mark.parametrize(
    ("hints", "message"),
    [
        ({"type": "boolean", "true_words": ["Y", "x"], "false_words": ["X"]}, "both in true_words and false_words: x"),
        ({"type": "string", "formats": ["%Y"]}, "only a date, timestamp or time takes formats"),
        ({"type": "timestamp", "formats": ["%Y-%m-%d %H:%M %Z"]}, "doesn't give a whole timestamp"),
        ({"type": "date", "formats": ["%m/%d"]}, "doesn't give a whole date"),
        ({"type": "time", "formats": ["%Y-%m-%d %H:%M"]}, "doesn't give a whole time"),
        ({"type": "timestamp", "time_zone": "New York"}, "not an IANA time zone"),
        ({"type": "string", "surprise": 1}, "Extra inputs"),
        (
            {"type": "boolean", "false_words": [""]},
            "the empty word in false_words has no effect: an empty field is",
        ),
        ({"type": "int32", "null_words": [""]}, "the empty word in null_words has no effect"),
        ({"type": "date", "null_words": [" n/a"]}, "' n/a' in null_words has no effect: blanks"),
        ({"type": "string", "true_words": ["Y"]}, "true_words has no effect on a string; it is for boolean"),
        ({"type": "string", "decimal_mark": ","}, "decimal_mark has no effect on a string"),
        ({"type": "json", "binary_encoding": "base64"}, "binary_encoding has no effect on a json"),
        ({"type": "date", "time_zone": "Europe/Paris"}, "time_zone has no effect on a date; it is for timestamp"),
        ({"type": "timestamp", "ambiguous": "latest"}, "ambiguous has no effect without a time_zone"),
    ],
)
def test_hints_that_make_no_sense_for_a_column_are_refused(hints: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        FileColumn.model_validate({"name": "x", **hints})


@pytest.mark.parametrize("name", ["Meter", "1st", "meter-id", "", "_record_number", "é", "x" * 129])
def test_a_column_name_is_a_plain_lower_case_identifier(name: str) -> None:
    with pytest.raises(ValidationError):
        Column(name=name, type="string")


def test_drift_adds_text_columns_with_names_made_plain() -> None:
    contract = Contract.model_validate(METERS)
    assert contract.hash, "a contract whose hash was asked for, as that of any extract is, grows too"
    contract = contract.evolved(("Pump Type", "2nd", "Größe (m)"))
    added = contract.columns[-3:]
    assert [column.name for column in added] == ["pump_type", "column_2nd", "groe_m"]
    assert [column.header for column in added] == ["Pump Type", "2nd", "Größe (m)"]
    assert all(column.nullable and column.type == "string" for column in added)


def test_drift_cant_add_a_column_whose_plain_name_is_taken() -> None:
    with pytest.raises(ValueError, match="'reading' and 'READING ' would both be the column reading"):
        Contract.model_validate(METERS).evolved(("READING ",))


@given(st.text(min_size=1, max_size=200))
def test_any_header_makes_a_column_name(header: str) -> None:
    column = Contract.model_validate(METERS).evolved((f"zz{header}", header)[:1]).columns[-1]
    assert column.name.startswith("zz")


def test_the_hash_changes_with_the_data_and_not_with_the_words_about_it() -> None:
    contract = Contract.model_validate(METERS)
    described = [{**column, "description": "…"} for column in METERS["columns"]]
    assert Contract.model_validate(METERS | {"columns": described}).hash == contract.hash
    assert Contract.model_validate(METERS | {"drift": "evolve"}).hash != contract.hash
    assert len(contract.hash) == 16


def test_violations_are_counted_in_one_row() -> None:
    contract = Contract.model_validate(METERS)
    connection = duckdb.connect()
    connection.execute("CREATE TABLE m AS SELECT * FROM (VALUES ('a'), ('a'), ('b'), (NULL)) t(METER_ID)")
    counts = connection.execute(contract.violation_counts_sql("m")).fetchdf().to_dict("records")
    assert counts == [{"ROWS_CHECKED": 4, "NULL_METER_ID": 1, "DUPLICATE_KEYS": 1}]


@pytest.mark.parametrize(("loaded", "doubled"), [(1, 0), (2, 1), (3, 2), (4, 1)])
def test_the_keys_of_some_rows_are_looked_for_in_the_whole_table(loaded: int, doubled: int) -> None:
    columns = [{"name": "id", "type": "string", "nullable": False}, {"name": "hour", "type": "int8", "nullable": False}]
    contract = Contract.model_validate({"columns": columns, "key": ["id", "hour"]})
    connection = duckdb.connect()
    connection.execute(
        "CREATE TABLE m AS SELECT * FROM (VALUES ('a', 1, 1), ('a', 2, 2), ('b', 1, 2), ('b', 1, 3), ('b', 2, 3),"
        " ('b', 2, 3), ('c', 1, 4), ('c', 1, 4), ('c', 2, 4)) t(ID, HOUR, EXTRACT)"
    )
    sql = contract.violation_counts_sql("m", f"EXTRACT = {loaded}")
    (counts,) = connection.execute(sql).fetchdf().to_dict("records")
    assert counts["DUPLICATE_KEYS"] == doubled


@given(st.text(max_size=20))
def test_a_quoted_identifier_cant_be_broken_out_of(name: str) -> None:
    assert quoted(name)[1:-1].replace('""', "").count('"') == 0


def test_the_hash_of_a_contract_stays_the_same_from_release_to_release() -> None:
    """Extract ids are made of it: another hash would make every pending file a new extract."""
    columns = [
        {"name": "e", "type": "timestamp", "formats": ["%Y-%m-%d"], "time_zone": "Europe/Paris", "ambiguous": "latest"},
        {"name": "v", "type": "decimal(12,2)", "nullable": False, "decimal_mark": ",", "null_words": ["n/a", "—"]},
        {"name": "b", "type": "binary", "binary_encoding": "base64", "description": "not a part of it"},
    ]
    columns[1]["source_name"] = "Wert ü"
    contract = FileContract.model_validate({"columns": columns, "key": ["v"], "drift": "evolve"})
    assert contract.hash == "768910dfee3c04fd"
