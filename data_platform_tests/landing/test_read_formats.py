"""JSON Lines, Parquet and workbooks: the same rules for values, the same account of every row."""

from __future__ import annotations

import base64
import io
import json
import uuid
import zipfile
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
import xlsxwriter
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from data_platform.feeds.files import FileFeedSpec
from data_platform.landing.delivery import ContractViolation, DeliveryUnreadable
from data_platform.landing.read import DeliveryReader

COLUMNS: list[dict[str, Any]] = [
    {"name": "meter_id", "type": "string", "nullable": False},
    {"name": "reading", "type": "decimal(12,3)"},
    {"name": "flow", "type": "int32"},
]


def read(data: bytes, form: str, columns: list[dict[str, Any]] | None = None, **change: Any) -> Any:
    """The rows, the rejects as (number, column, reason), and the reader."""
    contract = {"columns": columns or COLUMNS, "drift": change.pop("drift", "reject")}
    rules = FileFeedSpec.of(
        {"source": "p", "table": "f", "pattern": ".*", "contract": contract, "format": {"type": form}} | change
    )
    reader = DeliveryReader(io.BytesIO(data), rules, file_name="file")
    chunks = list(reader)
    rows = [row for chunk in chunks for row in chunk.batch.to_pylist()]
    rejects = [row for chunk in chunks for row in chunk.rejects.to_pylist()]
    assert reader.rows_read == len(rows) + len(rejects)
    assert all(chunk.batch.schema == reader.schema for chunk in chunks)
    return rows, rejects, reader


def parquet(**columns: Any) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    return file.getvalue()


def workbook(rows: list[list[Any]], sheet: str = "Sheet1") -> bytes:
    file = io.BytesIO()
    book = xlsxwriter.Workbook(file, {"default_date_format": "yyyy-mm-dd hh:mm:ss"})
    written = book.add_worksheet(sheet)
    for at, row in enumerate(rows):
        for place, value in enumerate(row):
            if isinstance(value, str) and value.startswith("="):
                written.write_formula(at, place, value, None, "#DIV/0!")
            elif value is not None:
                written.write(at, place, value)
    book.close()
    return file.getvalue()


def test_json_numbers_keep_every_digit_they_are_written_with() -> None:
    data = b'{"meter_id":"A","reading":0.1,"flow":1}\n\n{"meter_id":7,"reading":123456789.123,"flow":null}\n'
    rows, rejects, _ = read(data, "json_lines")
    assert rows == [
        {"meter_id": "A", "reading": Decimal("0.100"), "flow": 1, "_record_number": 1},
        {"meter_id": "7", "reading": Decimal("123456789.123"), "flow": None, "_record_number": 2},
    ]
    assert rejects == []


@pytest.mark.parametrize(
    ("line", "column", "reason"),
    [
        ('{"meter_id":"A","flow":1.5}', "flow", "flow: '1.5' is not a whole number"),
        ('{"flow":1}', "meter_id", "meter_id: is null, which the contract doesn't allow"),
        ('{"meter_id":"A","flow":{"x":1}}', "flow", "flow: is an object or an array, not int32"),
        ('{"meter_id":"A","flow":1', None, "is not valid JSON"),
        ('{"meter_id":"A","meter_id":"B"}', None, "names a member twice"),
        ('{"meter_id":"A","METER_ID":"B"}', None, "two members are the column meter_id"),
        ('["A"]', None, "is not a JSON object"),
        ('{"meter_id":NaN}', None, "NaN is not JSON"),
        ("[" * 100_000, None, "is nested more than 100 levels deep"),
        ('{"meter_id":' + "[" * 101 + "]" * 101 + "}", None, "is nested more than 100 levels deep"),
        ('{"meter_id":' + '{"a":' * 400 + "1" + "}" * 401, None, "is nested more than 100 levels deep"),
        ('{"meter_id":"\\ud83d"}', None, "half a character: \\ud83d without the other half"),
        ('{"meter_id":"A","\\uDE00":1}', None, "half a character: \\ude00 without the other half"),
    ],
)
def test_a_json_line_that_breaks_the_contract_is_a_reject(line: str, column: str | None, reason: str) -> None:
    rows, rejects, _ = read(f'{{"meter_id":"ok"}}\n{line}\n{{"meter_id":"ok"}}'.encode(), "json_lines")
    assert [row["_record_number"] for row in rows] == [1, 3]
    assert [(found["record_number"], found["column_name"]) for found in rejects] == [(2, column)]
    assert reason in rejects[0]["reason"]
    assert rejects[0]["raw_text"][:100] == line[:100]


def test_json_drift_adds_members_wherever_they_first_appear() -> None:
    data = b'{"meter_id":"A"}\n{"meter_id":"B","Pump Type":{"a":[1.50,null]}}\n{"meter_id":"C","Pump Type":"x"}\n'
    rows, rejects, reader = read(data, "json_lines", drift="evolve")
    assert reader.contract.columns[-1].name == "pump_type"
    assert [row["pump_type"] for row in rows] == [None, "x"]
    assert rejects[0]["reason"] == "pump_type: is an object or an array, not string"
    with pytest.raises(ContractViolation, match=r"member 'Pump Type' \(record 2\)"):
        read(data, "json_lines")
    assert len(read(data, "json_lines", drift="ignore")[0]) == 3


def test_json_members_without_a_name_or_of_another_file_are_rejects() -> None:
    data = b'{"meter_id":"A","":1}\n{"x":1}\n{"meter_id":"B"," New ":"kept"}\n{}\n'
    rows, rejects, reader = read(data, "json_lines", [{"name": "meter_id", "type": "string"}], drift="evolve")
    assert [column.name for column in reader.contract.columns] == ["meter_id", "x", "new"]
    assert [row["new"] for row in rows] == ["kept"]
    assert [(found["record_number"], found["reason"]) for found in rejects] == [
        (1, "a member has no name"),
        (2, "has none of the members 'meter_id'"),
        (4, "has none of the members 'meter_id'"),
    ]


def test_whole_characters_and_usual_depths_are_kept_in_every_json_column() -> None:
    deep = "[" * 99 + "]" * 99
    columns = [{"name": "id", "type": "int32"}, {"name": "j", "type": "json"}]
    lines = [f'{{"id":1,"j":{deep}}}', '{"id":2,"j":"\\ud83d\\ude00"}']
    rows, rejects, _ = read("\n".join(lines).encode(), "json_lines", columns)
    assert ([row["j"] for row in rows], rejects) == ([deep, '"😀"'], [])
    text = 'id,j\n1,"[""\\ud83d""]"\n2,"[""\\ud83d\\ude00""]"\n3,' + "[" * 101 + "]" * 101
    rows, rejects, _ = read(text.encode(), "csv", columns)
    assert [row["id"] for row in rows] == [2]
    assert [found["column_name"] for found in rejects] == ["j", "j"]


def test_json_columns_keep_nested_values_as_they_are_written() -> None:
    data = '{"meter_id":"é","extra":{"a":[1.50,null,"\\u00e9"],"b":true}}'.encode()
    rows, _, _ = read(data, "json_lines", [COLUMNS[0], {"name": "extra", "type": "json"}])
    assert rows[0]["extra"] == '{"a":[1.50,null,"é"],"b":true}'


def test_parquet_values_are_cast_where_nothing_is_lost() -> None:
    data = parquet(
        meter_id=pa.array(["A", "B", None, "D"]).dictionary_encode(),
        reading=pa.array([1.5, 0.1, 2.0, 1.0005]),
        flow=pa.array([1.0, 2.5, 3.0, 4.0]),
    )
    rows, rejects, _ = read(data, "parquet")
    assert rows == [{"meter_id": "A", "reading": Decimal("1.500"), "flow": 1, "_record_number": 1}]
    assert [(found["record_number"], found["reason"]) for found in rejects] == [
        (2, "flow: '2.5' is not a whole number"),
        (3, "meter_id: is null, which the contract doesn't allow"),
        (4, "reading: '1.0005' has more than 3 digits after the decimal mark; the column's rounding is exact"),
    ]
    assert rejects[0]["raw_text"] == '{"meter_id": "B", "reading": 0.1, "flow": 2.5}'


@pytest.mark.parametrize("form", ["csv", "json_lines", "parquet", "parquet strings", "excel", "excel text"])
def test_every_format_takes_the_same_whole_numbers_dates_and_instants(form: str) -> None:
    columns = [
        {"name": "n", "type": "int32"},
        {"name": "day", "type": "date"},
        {"name": "at", "type": "timestamp", "time_zone": "UTC"},
    ]
    texts = [["5.0", "2026-03-09 00:00:00", "2026-03-09"], ["5.00", "2026-03-09", "2026-03-09T00:00:00.000000"]]
    midnight = datetime(2026, 3, 9)
    data = {
        "csv": lambda: "\n".join(["n,day,at", *map(",".join, texts)]).encode(),
        "json_lines": lambda: b"\n".join(
            b'{"n":%b,"day":"%b","at":"%b"}' % tuple(text.encode() for text in row) for row in texts
        ),
        "parquet": lambda: parquet(
            n=pa.array([Decimal("5.000")] * 2), day=pa.array([midnight] * 2), at=pa.array([date(2026, 3, 9)] * 2)
        ),
        "parquet strings": lambda: parquet(**{n: [r[at] for r in texts] for at, n in enumerate(("n", "day", "at"))}),
        "excel": lambda: workbook([["n", "day", "at"], *[[5.0, midnight, midnight]] * 2]),
        "excel text": lambda: workbook([["n", "day", "at"], *texts]),
    }[form]()
    rows, rejects, _ = read(data, form.split()[0], columns)
    assert rejects == []
    expected = {"n": 5, "day": date(2026, 3, 9), "at": midnight.replace(tzinfo=UTC)}
    assert [{name: row[name] for name in expected} for row in rows] == [expected, expected]


def test_json_numbers_are_whole_by_their_value_and_a_thousand_in_text_is_none() -> None:
    data = b'{"n":5.000}\n{"n":1.2e1}\n{"n":"1.000"}\n{"n":1e30}\n{"n":1e999999999}\n{"n":1e-99999}\n{"n":0e9}\n'
    rows, rejects, _ = read(data, "json_lines", [{"name": "n", "type": "int32"}])
    assert [row["n"] for row in rows] == [5, 12, 0]
    assert [found["record_number"] for found in rejects] == [3, 4, 5, 6]


@pytest.mark.parametrize("kind", ["date", "timestamp", "string", "json", "int32", "time"])
@pytest.mark.parametrize(
    "found",
    [pa.date32(), pa.date64(), pa.timestamp("us"), pa.timestamp("ms"), pa.timestamp("us", "Asia/Tokyo")],
    ids=str,
)
def test_no_parquet_date_however_far_fails_a_run(kind: str, found: pa.DataType) -> None:
    wide = pa.int32() if pa.types.is_date32(found) else pa.int64()
    far = pa.array([10**7 if pa.types.is_date32(found) else 2**62 // 86_400_000 * 86_400_000], wide).cast(found)
    zone = {"time_zone": "UTC"} if kind == "timestamp" else {}
    columns = [{"name": "id", "type": "int32"}, {"name": "x", "type": kind, **zone}]
    for x, other in ((far, pa.array([1, 1])), (pa.array(["no"]), pa.concat_arrays([far, far]))):
        try:
            rows, _, _ = read(
                parquet(id=[2**40, 1], x=pa.concat_arrays([x, x]), other=other), "parquet", columns, drift="ignore"
            )
            assert not any("out of range" in str(row["x"]) for row in rows)
        except (ContractViolation, DeliveryUnreadable):
            continue


def test_parquet_types_reach_the_contracts_types() -> None:
    nine = datetime(2026, 3, 9, 12, 30, tzinfo=UTC)
    columns = [
        {"name": "instant", "type": "timestamp"},
        {"name": "local", "type": "timestamp", "time_zone": "America/New_York", "formats": ["%d/%m/%Y %H:%M"]},
        {"name": "fine", "type": "timestamp"},
        {"name": "day", "type": "date"},
        {"name": "clock", "type": "time"},
        {"name": "small", "type": "decimal(4,1)"},
        {"name": "flag", "type": "boolean", "true_words": ["Y"], "false_words": ["N"]},
        {"name": "shape", "type": "geometry(4326)"},
        {"name": "extra", "type": "json"},
        {"name": "raw", "type": "binary"},
    ]
    data = parquet(
        instant=pa.array([nine], pa.timestamp("ms", tz="Asia/Tokyo")),
        local=pa.array([datetime(2026, 3, 9, 12, 30)], pa.timestamp("ns")),
        fine=pa.array([1], pa.timestamp("ns", tz="UTC")),
        day=pa.array([date(2026, 3, 9)], pa.date64()),
        clock=pa.array([time(1, 2)], pa.time32("s")),
        small=pa.array([0.1], pa.float32()),
        flag=pa.array([True]),
        shape=pa.array([shapely.to_wkb(shapely.Point(1, 2))]),
        extra=pa.array([{"a": [1, None]}]),
        raw=pa.array([b"\0x"], pa.large_binary()),
    )
    rows, rejects, _ = read(data, "parquet", [column for column in columns if column["name"] != "fine"], drift="ignore")
    assert rejects == []
    assert rows[0] == {
        "instant": nine,
        "local": datetime(2026, 3, 9, 16, 30, tzinfo=UTC),
        "day": date(2026, 3, 9),
        "clock": time(1, 2),
        "small": Decimal("0.1"),
        "flag": True,
        "shape": shapely.to_wkb(shapely.Point(1, 2)),
        "extra": '{"a":[1,null]}',
        "raw": b"\0x",
        "_record_number": 1,
    }
    _, rejects, _ = read(data, "parquet", [columns[2]], drift="ignore")
    assert "is finer than a microsecond" in rejects[0]["reason"]


@given(st.integers(-(2**63), 2**63 - 1), st.sampled_from(["int8", "int16", "int32", "int64"]))
@settings(max_examples=40, deadline=None)
def test_a_parquet_integer_is_taken_where_it_fits_and_rejected_where_not(value: int, type: str) -> None:
    rows, rejects, _ = read(parquet(n=pa.array([value, 1])), "parquet", [{"name": "n", "type": type}])
    fits = -(2 ** (int(type[3:]) - 1)) <= value < 2 ** (int(type[3:]) - 1)
    assert [row["n"] for row in rows] == ([value, 1] if fits else [1])
    assert len(rejects) == (not fits)


def test_a_parquet_column_that_cant_become_the_contracts_type_is_a_violation() -> None:
    with pytest.raises(ContractViolation, match="column 'flow' is binary, which can't be int32"):
        read(parquet(meter_id=["A"], reading=[1.5], flow=[b"x"]), "parquet")


def test_what_isnt_parquet_or_is_cut_off_is_unreadable() -> None:
    data = parquet(meter_id=["A"], reading=[1.5], flow=[1])
    for broken in (b"", b"meter_id\nA\n", data[:-20]):
        with pytest.raises(DeliveryUnreadable, match="not a valid Parquet file"):
            read(broken, "parquet")
    with pytest.raises(DeliveryUnreadable, match="the Parquet file is broken after row 0"):
        read(data[20:], "parquet")
    with pytest.raises(DeliveryUnreadable, match="max_decoded_bytes"):
        read(data, "parquet", max_decoded_bytes=len(data) - 1)


def test_workbook_cells_are_read_by_what_they_hold() -> None:
    data = workbook(
        [
            ["meter_id", "reading", "flow", "day", "at"],
            ["A", 1.5, 12, datetime(2026, 3, 9), datetime(2026, 3, 9, 12, 30)],
            [None, None, None, None, None],
            [1001, "2.25", "x", "09/03/2026", None],
            ["C", "=1/0", 1, None, None],
        ]
    )
    columns = [
        *COLUMNS,
        {"name": "day", "type": "date", "formats": ["%d/%m/%Y"]},
        {"name": "at", "type": "timestamp", "time_zone": "America/New_York"},
    ]
    rows, rejects, _ = read(data, "excel", columns)
    assert rows == [
        {
            "meter_id": "A",
            "reading": Decimal("1.500"),
            "flow": 12,
            "day": date(2026, 3, 9),
            "at": datetime(2026, 3, 9, 16, 30, tzinfo=UTC),
            "_record_number": 2,
        }
    ]
    assert [(found["record_number"], found["reason"]) for found in rejects] == [
        (4, "flow: 'x' is not a whole number"),
        (5, "reading: holds the error #DIV/0!"),
    ]


def test_a_sheet_and_its_header_row_can_be_named() -> None:
    data = workbook([["Readings of March"], [], ["flow", "meter_id", "reading"], [1, "A", 2.5]], sheet="Meters")
    rows, _, _ = read(data, "excel", format={"type": "excel", "sheet": "Meters", "header_row": 3})
    assert [row["_record_number"] for row in rows] == [4]
    with pytest.raises(DeliveryUnreadable, match="has no sheet 'Pumps'; it has 'Meters'"):
        read(data, "excel", format={"type": "excel", "sheet": "Pumps"})


def test_a_header_cell_may_be_a_number() -> None:
    columns = [
        {"name": "y", "type": "int32", "source_name": "2026"},
        {"name": "x", "type": "float", "source_name": "0.5"},
    ]
    assert read(workbook([[2026, 0.5], [1, 2]]), "excel", columns)[0] == [{"y": 1, "x": 2.0, "_record_number": 2}]


@pytest.mark.parametrize("source_name", ["", " ", "n ", "\tn"])
def test_a_source_name_that_no_file_can_have_is_refused(source_name: str) -> None:
    with pytest.raises(ValidationError, match="is no name of a column"):
        read(b"n\n", "csv", [{"name": "n", "type": "string", "source_name": source_name}])


def test_what_isnt_a_workbook_is_unreadable() -> None:
    for broken in (b"", b"meter_id,flow\n", workbook([["a"]])[:-50]):
        with pytest.raises(DeliveryUnreadable, match="not a valid workbook"):
            read(broken, "excel")


def test_a_sheet_with_a_stray_cell_far_away_is_refused_before_it_takes_the_memory() -> None:
    file = io.BytesIO()
    book = xlsxwriter.Workbook(file)
    sheet = book.add_worksheet()
    sheet.write(0, 0, "meter_id")
    sheet.write(1_048_575, 16_383, "stray")
    book.close()
    with pytest.raises(DeliveryUnreadable, match="reaches to row 1048576 and column 16384"):
        read(file.getvalue(), "excel")


def test_a_workbook_whose_xml_declares_entities_is_refused() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(workbook([["meter_id"]]))) as sound, zipfile.ZipFile(file, "w") as spoiled:
        for name in sound.namelist():
            content = sound.read(name)
            if name.startswith("xl/worksheets/"):
                content = content.replace(b"<worksheet", b'<!DOCTYPE x [<!ENTITY a "a">]><worksheet', 1)
            spoiled.writestr(name, content)
    with pytest.raises(DeliveryUnreadable, match=r"not a valid workbook \(it declares a document type\)"):
        read(file.getvalue(), "excel")


@pytest.mark.parametrize("form", ["csv", "json_lines", "parquet"])
def test_a_value_that_snowflake_cannot_store_is_a_reject_and_the_others_go_on(form: str) -> None:
    columns = [{"name": "id", "type": "string"}, {"name": "photo", "type": "binary", "binary_encoding": "base64"}]
    photos = {"a": b"\x01", "b": b"\x00" * (2**23 + 1), "c": b"\x00" * 2**23}
    spelled = [{"id": name, "photo": base64.b64encode(photo).decode()} for name, photo in photos.items()]
    files = {
        "csv": lambda: "\n".join(["id,photo", *(",".join(row.values()) for row in spelled)]).encode(),
        "json_lines": lambda: "\n".join(json.dumps(row) for row in spelled).encode(),
        "parquet": lambda: parquet(id=list(photos), photo=list(photos.values())),
    }
    rows, rejects, _ = read(files[form](), form, columns)
    assert [row["id"] for row in rows] == ["a", "c"]
    assert [(row["record_number"], row["column_name"], row["reason"]) for row in rejects] == [
        (2, "photo", "photo: has 8,388,609 bytes; Snowflake stores at most 8,388,608 in a BINARY")
    ]


def test_a_text_that_snowflake_cannot_store_is_a_reject() -> None:
    rows, rejects, _ = read(parquet(id=["x" * (2**24 + 1), "y" * 2**24]), "parquet", [{"name": "id", "type": "string"}])
    assert (len(rows), [row["column_name"] for row in rejects]) == (1, ["id"])


PERSONAL: list[dict[str, Any]] = [
    {"name": "name", "type": "string", "nullable": False, "personal": True},
    {"name": "born", "type": "date", "personal": True},
    {"name": "visits", "type": "int32"},
]


@pytest.mark.parametrize(
    ("form", "data"),
    [
        ("csv", b"name,born,visits\nAda Lovelace,1815-13-10,many\nAda Lovelace,1815\n"),
        ("json_lines", b'{"name": "Ada Lovelace", "born": "1815-13-10", "visits": "many"}\n"Ada Lovelace 1815"\n'),
    ],
)
def test_no_reason_quotes_a_personal_value_and_the_raw_text_has_it(form: str, data: bytes) -> None:
    _, rejects, _ = read(data, form, PERSONAL)
    assert len(rejects) == 2
    assert not any("1815" in row["reason"] or "Lovelace" in row["reason"] for row in rejects)
    assert "visits: 'many' is not a whole number" in rejects[0]["reason"]
    assert all("Lovelace" in row["raw_text"] for row in rejects)


@pytest.mark.parametrize("drift", ["reject", "ignore"])
def test_a_first_row_that_is_taken_for_a_header_is_not_quoted(drift: str) -> None:
    with pytest.raises(ContractViolation, match="that aren't shown here") as refused:
        read(b"Ada Lovelace,1815-12-10,3\n", "csv", PERSONAL, drift=drift)
    assert "Lovelace" not in str(refused.value)


@pytest.mark.parametrize("found", [pa.time32("ms"), pa.time64("us"), pa.time64("ns")], ids=str)
def test_a_parquet_time_outside_the_day_is_a_reject(found: Any) -> None:
    wide = pa.int32() if pa.types.is_time32(found) else pa.int64()
    day = {"ms": 86_400_000, "us": 86_400_000_000, "ns": 86_400_000_000_000}[found.unit]
    data = parquet(id=[1, 2, 3], t=pa.array([day - 10**3, day, -1], wide).view(found))
    rows, rejects, _ = read(data, "parquet", [{"name": "id", "type": "int32"}, {"name": "t", "type": "time"}])
    assert [row["id"] for row in rows] == [1]
    assert [(row["record_number"], row["reason"]) for row in rejects] == [
        (number, "t: is not a time of day: it is negative, or 24 hours or more") for number in (2, 3)
    ]


def test_text_that_its_encoding_cant_be_is_refused_and_half_a_character_is_a_reject() -> None:
    columns = [{"name": "a", "type": "string"}]
    with pytest.raises(DeliveryUnreadable, match=r"the file isn't utf-16 .* set format.encoding: utf-16-le"):
        read(b"a\nb\n", "csv", columns, format={"type": "csv", "encoding": "utf-16"})
    text = b"a\nx\n+33E-\n"  # a lone U+DF71
    _, rejects, _ = read(text, "csv", columns, format={"type": "csv", "encoding": "utf-7"})
    assert [(row["reason"], row["raw_text"]) for row in rejects] == [
        ("half a character, \\udf71, at character 1", "\\udf71")
    ]


NOISE = [434.9999999999999, 68.66499999999999, -0.125, 0.1 + 0.2, 999.996]


def noise(form: str) -> bytes:
    if form == "parquet":
        return parquet(n=pa.array(NOISE))
    if form == "excel":
        return workbook([["n"], *([value] for value in NOISE)])
    texts = [repr(value) for value in NOISE]
    return "\n".join(["n", *texts] if form == "csv" else [f'{{"n":{text}}}' for text in texts]).encode()


@pytest.mark.parametrize("form", ["csv", "json_lines", "parquet", "excel"])
def test_decimals_are_rounded_to_their_places_where_the_contract_says_so(form: str) -> None:
    column = {"name": "n", "type": "decimal(5,2)", "rounding": "places"}
    rows, rejects, _ = read(noise(form), form, [column])
    shown = "68.67" if form in ("parquet", "excel") else "68.66"  # text has the digits that it is written with
    assert [str(row["n"]) for row in rows] == ["435.00", shown, "-0.13", "0.30"]
    assert [row["reason"] for row in rejects] == [
        "n: '999.996' is rounded to more digits before the decimal mark than the column has"
    ]
    _, rejects, _ = read(noise(form), form, [column | {"rounding": "exact"}])
    assert {1, 2, 3, 5} <= {row["record_number"] - (form == "excel") for row in rejects}


@pytest.mark.parametrize("form", ["parquet", "excel"])
def test_binary_fractions_are_read_to_the_digits_that_excel_shows(form: str) -> None:
    rows, _, _ = read(noise(form), form, [{"name": "n", "type": "float", "rounding": "digits"}])
    assert [row["n"] for row in rows] == [435.0, 68.665, -0.125, 0.3, 999.996]
    rows, rejects, _ = read(noise(form), form, [{"name": "n", "type": "int32", "rounding": "digits"}])
    assert ([row["n"] for row in rows], len(rejects)) == ([435], 4)
    _, rejects, _ = read(noise(form), form, [{"name": "n", "type": "decimal(6,2)", "rounding": "digits"}])
    assert [row["record_number"] - (form == "excel") for row in rejects] == [2, 3, 5]


def test_rounding_without_effect_is_refused() -> None:
    for column, form, message in (
        ({"type": "string", "rounding": "digits"}, "excel", "rounding has no effect on a string"),
        ({"type": "int32", "rounding": "places"}, "excel", "rounding: places has no effect on a int32"),
        ({"type": "float", "rounding": "digits"}, "csv", "rounding: digits has no effect on csv"),
    ):
        with pytest.raises(ValidationError, match=message):
            read(b"n\n1\n", form, [{"name": "n", **column}])


def test_a_uuid_of_parquet_is_its_usual_text_and_never_its_bytes_as_text() -> None:
    known = uuid.UUID("61626364-6566-6768-696a-6b6c6d6e6f70")  # whose bytes are letters
    ids: Any = pa.ExtensionArray.from_storage(pa.uuid(), pa.array([known.bytes, None], pa.binary(16)))
    structs = pa.StructArray.from_arrays([ids], names=["u"])
    columns = [{"name": "id", "type": "string"}, {"name": "j", "type": "json"}]
    rows, _, _ = read(parquet(id=ids, j=structs), "parquet", columns)
    assert [(row["id"], row["j"]) for row in rows] == [(str(known), f'{{"u":"{known}"}}'), (None, '{"u":null}')]
