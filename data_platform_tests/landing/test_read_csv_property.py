"""Whatever bytes a partner sends as CSV, the reader says of them what the plain reading of `oracle.py` says."""

from __future__ import annotations

import io
import math
import re
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from data_platform.feeds.file_contract import FileColumn, FileContract
from data_platform.feeds.files import FileFeedSpec
from data_platform.feeds.formats import CsvFormat
from data_platform.landing.delivery import DeliveryUnreadable
from data_platform.landing.readers.csv import CsvReader
from data_platform.values.convert import converter_for
from data_platform_tests.landing import oracle

NEW_YORK = "America/New_York"
COLUMNS: dict[str, dict[str, Any]] = {
    "string": {"type": "string", "nullable": False},
    "word": {"type": "string", "null_words": ["NULL", "-"]},
    "int8": {"type": "int8"},
    "int32": {"type": "int32", "nullable": False, "null_words": ["-99"]},
    "int64": {"type": "int64", "decimal_mark": ","},
    "decimal": {"type": "decimal(6,2)"},
    "comma": {"type": "decimal(10,3)", "decimal_mark": ","},
    "wide": {"type": "decimal(38,10)"},
    "float": {"type": "float"},
    "boolean": {"type": "boolean", "true_words": ["Y", "yes"], "false_words": ["N", "no"]},
    "date": {"type": "date"},
    "us_date": {"type": "date", "formats": ["%m/%d/%Y", "%d.%m.%y"]},
    "instant": {"type": "timestamp"},
    "local": {"type": "timestamp", "time_zone": NEW_YORK},
    "latest": {"type": "timestamp", "time_zone": NEW_YORK, "ambiguous": "latest", "formats": ["%d/%m/%Y %H:%M"]},
    "zoned": {"type": "timestamp", "formats": ["%Y-%m-%d %H:%M:%S%z", "%Y%m%d%H%M%z"]},
    "time": {"type": "time"},
    "clock": {"type": "time", "formats": ["%I:%M %p", "%H%M"]},
}

_DIGITS = st.text("0123456789", max_size=5)
_NUMBERS = st.one_of(
    st.integers(-(2**65), 2**65).map(str),
    st.integers(-130, 130).map(str),
    st.decimals(allow_nan=False, allow_infinity=False, places=3).map(str),
    st.floats().map(repr),
    st.builds("{}{}{}{}{}".format, st.sampled_from(["", "-", "+", " "]), _DIGITS, st.sampled_from(["", ".", ","]),
              _DIGITS, st.sampled_from(["", "", "e2", "E-3", "e", "x", " ", "e-99", "e400", "00000000000000000000"])),
    st.sampled_from(["0x1F", "1_000", "nan(1)", "-nan", "Infinity", "1e999999999", "1e-999999999", "9" * 39, "0" * 45,
                     "٣", "1.5f", "--1", "5.0", "-5.00", "1.000", "7.0000", "5,0", "5.", "5.01", "1e-99999999999999"]),
)  # fmt: skip
_MOMENTS = st.one_of(
    st.datetimes().map(str),
    st.datetimes().map(lambda moment: moment.isoformat() + "Z"),
    st.dates().map(str),
    st.times().map(str),
    st.dates().map(lambda day: day.strftime("%m/%d/%Y")),
    st.datetimes().map(lambda moment: moment.strftime("%d/%m/%Y %H:%M")),
    st.datetimes().map(lambda moment: moment.strftime("%Y-%m-%d %H:%M:%S") + "+05:30"),
    st.builds("2026-{:02d}-{:02d}{}{:02d}:{:02d}{}{}".format, st.integers(0, 13), st.integers(0, 32),
              st.sampled_from("T t"), st.integers(0, 25), st.integers(0, 61),
              st.sampled_from(["", ":00", ":59.5", ":60", ":00.1234567", ":00.1230000", ":0", "."]),
              st.sampled_from(["", "Z", "z", "+05", "-0530", "+24:00", "-23:59", " Z", "+05:60", "-05:"])),
    st.builds("{:02d}/{:02d}/2026 {:02d}:30".format, st.sampled_from([1, 8]), st.sampled_from([3, 11]),
              st.integers(0, 3)),
    st.builds("2026-{} 0{}:30:00".format, st.sampled_from(["03-08", "11-01"]), st.integers(0, 3)),
    st.sampled_from(["0000-01-01", "0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00", "1883-11-18 12:00:00",
                     "0001-01-01 00:00", "9999-12-31 23:59", "2050-07-01 12:00", "1/2/2026", "01.02.26", "24:00",
                     "12:30 pm", "1230", "2026-01-01T00:00+0000", "202601010000Z", "2026-01-01 00:00:00Z",
                     "2026-01-01 00:00", "2026-01-01T00:00:00.000"]),
)  # fmt: skip
_WORDS = st.one_of(
    st.sampled_from(["", "NULL", "-", "-99", "ı", "Y", "y", "YES", "no", "maybe", " ", "\t", " 1 ", "é", "日本"]),
    st.text(max_size=6),
)
_VALUES = st.one_of(_NUMBERS, _MOMENTS, _WORDS)


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _field(draw: st.DrawFn, text: str) -> str:
    plain = not any(character in text for character in ',"\r\n')
    return text if plain and draw(st.booleans()) else _quoted(text)


@st.composite
def columns_of_values(draw: st.DrawFn) -> tuple[list[str], bytes]:
    """A few columns and a file of plausible and implausible values for them."""
    names = draw(st.lists(st.sampled_from(list(COLUMNS)), min_size=1, max_size=4, unique=True))
    lines = [",".join(names)]
    for _ in range(draw(st.integers(0, 8))):
        lines.append(",".join(_field(draw, draw(_VALUES)) for _ in names))
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    return names, (end.join(lines) + draw(st.sampled_from(["", end]))).encode("utf-8", "surrogatepass")


def check(names: list[str], data: bytes, block_bytes: int) -> None:
    contract = FileContract(columns=[{"name": name, **COLUMNS[name]} for name in names])
    rules = FileFeedSpec(source="p", table="f", pattern=".*", contract=contract)
    reader = CsvReader(io.BytesIO(data), rules, CsvFormat(), "p/f: file", block_bytes)
    try:
        expected = oracle.read(data, contract)
    except oracle.Swallowed:
        with pytest.raises(DeliveryUnreadable, match="goes on over"):
            list(reader.chunks())
        return
    rows: list[dict[str, Any]] = []
    rejects: list[tuple[int, str | None, str]] = []
    for chunk in reader.chunks():
        rows += chunk.batch.to_pylist()
        rejects += [(r["record_number"], r["column_name"], r["raw_text"]) for r in chunk.rejects.to_pylist()]
    assert list(map(_comparable, rows)) == list(map(_comparable, expected.rows))
    assert rejects == expected.rejects


def _comparable(row: dict[str, Any]) -> dict[str, Any]:
    """NaN equals itself, and -0.0 isn't 0.0."""
    return {name: repr(v) if isinstance(v, float) and (math.isnan(v) or v == 0) else v for name, v in row.items()}


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(columns_of_values(), st.sampled_from([16, 64, 1 << 20]))
def test_every_value_means_what_the_rule_says(made: tuple[list[str], bytes], block_bytes: int) -> None:
    check(*made, block_bytes)


_GARBAGE = st.lists(
    st.sampled_from([b"1", b"a", b",", b",", b"\n", b"\r\n", b"\r", b'"', b'""', b'",', b',"', b"\n\n", b" ", b"\0",
                     b"\xff",                     "é".encode(), b"\xc3", b"\xed\xb2\x81", b"12",
                     b"x,2", b'"q",3\n', b'"a\nb",4\n', b"5,6\n", b'7" p,8\n']),
    max_size=40,
).map(b"".join)  # fmt: skip


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(_GARBAGE, st.sampled_from([1, 3, 8, 32, 1 << 20]))
@example(b'1,"un', 1 << 20)
@example(b'1,2\n"oops,3\nlost,4\nlost",5\n6,7\n', 1 << 20)
@example(b'"Dear\nall, x",5\n6,7\n', 1 << 20)
@example(b'"x"y,5" p\n"un', 1 << 20)
@example(b'1,2\n3,"a""b\n4"\n"",""\n', 8)
def test_any_bytes_are_cut_into_the_same_records(body: bytes, block_bytes: int) -> None:
    check(["word", "int8"], b"word,int8\n" + body, block_bytes)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(_GARBAGE, st.sampled_from([1, 8, 1 << 20]))
def test_any_bytes_are_cut_into_the_same_records_where_there_is_one_column(body: bytes, block_bytes: int) -> None:
    check(["word"], b"word\n" + body, block_bytes)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(_GARBAGE.filter(bytes.isascii), st.sampled_from([1, 8, 1 << 20]))
def test_where_nothing_quotes_every_line_is_a_record_and_every_quote_is_text(body: bytes, block_bytes: int) -> None:
    body = body.replace(b"\0", b"")
    contract = FileContract(columns=[{"name": "a", "type": "string"}, {"name": "b", "type": "string"}])
    rules = FileFeedSpec(source="p", table="f", pattern=".*", contract=contract)
    reader = CsvReader(io.BytesIO(b"a,b\n" + body), rules, CsvFormat(quote="none"), "p/f: file", block_bytes)
    chunks = list(reader.chunks())
    lines = [line for line in re.split("[\r\n]+", body.decode()) if line]
    rows = [[row["a"] or "", row["b"] or ""] for chunk in chunks for row in chunk.batch.to_pylist()]
    assert rows == [line.split(",") for line in lines if line.count(",") == 1]
    assert sum(chunk.rows_read for chunk in chunks) == len(lines)


_LENGTHS = st.integers(1, 12)
_KINDS = [["string"] * 3, ["int32", "string", "date"], ["string", "int32"], ["int32", "float"]]


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data(), st.sampled_from("\"'#"), st.sampled_from(",;\t"), st.sampled_from(["\n", "\r\n", "\r"]))
def test_stray_quotes_never_hide_a_record(data: st.DataObject, quote: str, delimiter: str, end: str) -> None:
    """Whatever marks a file has: as many rows are read as it has lines, or it is quarantined."""
    kinds = data.draw(st.sampled_from(_KINDS))
    values = {"string": ["a", "b c", ""], "int32": ["5", "17"], "float": ["1.5"], "date": ["2026-01-05"]}
    lines = [
        delimiter.join(data.draw(st.sampled_from(values[kind])) for kind in kinds) for _ in range(data.draw(_LENGTHS))
    ]
    for _ in range(data.draw(st.integers(1, 2))):
        at = data.draw(st.integers(0, len(lines) - 1))
        places = [0, *(place + 1 for place, mark in enumerate(lines[at]) if mark == delimiter), len(lines[at])]
        place = data.draw(st.sampled_from(places))
        lines[at] = lines[at][:place] + quote + lines[at][place:]
    names = [f"c{place}" for place in range(len(kinds))]
    columns = [{"name": name, "type": kind} for name, kind in zip(names, kinds, strict=True)]
    rules = FileFeedSpec(source="p", table="f", pattern=".*", contract=FileContract(columns=columns))
    text = end.join([delimiter.join(names), *lines])
    try:
        reader = CsvReader(io.BytesIO(text.encode()), rules, CsvFormat(delimiter=delimiter, quote=quote), "p/f: file")
        assert sum(chunk.rows_read for chunk in reader.chunks()) == len(lines)
    except DeliveryUnreadable:
        pass


@pytest.mark.parametrize("name", ["int32", "decimal", "float", "instant", "local", "us_date", "time", "latest"])
def test_few_bad_values_among_many_are_found_and_only_they(name: str) -> None:
    good = {"int32": "{}", "decimal": "{}.5", "float": "{}.25", "instant": "2026-01-01T00:{:02d}:00Z",
            "local": "2026-03-08 05:{:02d}:00", "us_date": "01/{:02d}/2026", "time": "10:{:02d}",
            "latest": "01/11/2026 01:{:02d}"}[name]  # fmt: skip
    lines = [good.format(at % 27 + 1) for at in range(3000)]
    for at in (0, 77, 1500, 1501, 2999):
        lines[at] = f"bad {at}"
    check([name], "\n".join([name, *lines]).encode(), 1 << 20)


_SIZES = ((4, 0), (6, 2), (18, 3), (19, 3), (38, 10), (38, 30), (38, 38))
_WIDTHS = {f"d{precision}_{scale}": {"type": f"decimal({precision},{scale})"} for precision, scale in _SIZES}
_PLACES = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["", "-", "+", "00", "-0"]),
    st.text("0123456789", max_size=20),
    st.sampled_from([".", ".", ".", "", ",", ".-", ".+", ".."]),
    st.text("0123456789", max_size=11),
)
_NINES = st.builds(
    "{}{}.{}".format,
    st.sampled_from(["", "-"]),
    st.integers(0, 39).map("9".__mul__),
    st.integers(0, 39).map("9".__mul__),
)
_EDGES = st.sampled_from(["", " ", '""', " 1.50 ", "0x1.F", "1.F0", "1.005", "-.5", ".", "-", "1e2", "n/a", "٣.25"])


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(list(_WIDTHS)), st.lists(st.one_of(_PLACES, _NINES, _EDGES), min_size=1, max_size=12))
def test_decimals_keep_their_places_and_digits_whatever_stands_beside_them(name: str, texts: list[str]) -> None:
    usual = "12" if name.endswith("_0") else "0." + "1" * int(name.split("_")[1])
    column = FileColumn.model_validate({"name": name, **_WIDTHS[name]})
    values = [usual, *texts, usual]
    for taken in (values, values[1:]):  # whole, and a slice whose bytes begin behind others'
        array = pa.array([*values[: len(values) - len(taken)], *taken]).slice(len(values) - len(taken))
        _agrees(array, column)


_REPEATED = {
    "instant": ["2026-03-08T02:30:00-05:00", "2026-03-08 07:00Z", "2026-02-30T00:00Z", "x", "", "NULL"],
    "local": ["2026-03-08 01:59", "2026-03-08 02:30", "2026-11-01 01:30", "2026-11-01 02:30", " ", "x"],
    "latest": ["08/03/2026 02:30", "01/11/2026 01:30", "2026-11-01 01:30", "", "31/02/2026 00:00"],
    "us_date": ["03/08/2026", "8.3.26", "02/30/2026", "", "2026-03-08", " 03/09/2026 "],
    "clock": ["12:30 pm", "1230", "25:00", "", "00:30 AM"],
}


@pytest.mark.parametrize("name", list(_REPEATED))
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_text_that_occurs_again_and_again_means_the_same_each_time(name: str, data: st.DataObject) -> None:
    few = data.draw(st.lists(st.sampled_from([None, *_REPEATED[name]]), min_size=1, max_size=6))
    column = FileColumn.model_validate({"name": name, **COLUMNS[name], "null_words": ["NULL"]})
    _agrees(pa.array((few * 20_000)[:20_001], pa.string()).slice(data.draw(st.integers(0, 3))), column)


def _agrees(texts: Any, column: FileColumn) -> None:
    """Holds a converted column against the oracle, value by value."""
    converted = converter_for(column)(texts)
    expected = {text: _expected(text, column) for text in set(texts.to_pylist())}
    found = converted.array.to_pylist()
    for row, text in enumerate(texts.to_pylist()):
        if expected[text] is oracle.Bad:
            assert row in converted.bad, (row, text)
        else:
            assert (row in converted.bad, found[row]) == (False, expected[text]), (row, text)


def _expected(text: str | None, column: FileColumn) -> Any:
    try:
        return None if text is None else oracle.of(text, False, column)
    except oracle.Bad:
        return oracle.Bad
