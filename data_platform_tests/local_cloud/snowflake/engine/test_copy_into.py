"""COPY INTO from Parquet on S3. https://docs.snowflake.com/en/sql-reference/sql/copy-into-table"""

from __future__ import annotations

import datetime as dt
import math
import struct
import time
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from snowflake.connector.cursor import SnowflakeCursor

from data_platform_tests.end_to_end.platform import patience
from data_platform_tests.local_cloud.snowflake.answers import one, refusal, rows
from data_platform_tests.local_cloud.snowflake.conftest import Lake

UTC = dt.UTC
POINT = struct.pack("<BIdd", 1, 1, 1.5, 2.5)
COLUMNS = {
    "s": "VARCHAR", "i8": "NUMBER(3,0)", "i16": "NUMBER(5,0)", "i32": "NUMBER(10,0)", "i64": "NUMBER(19,0)",
    "d": "NUMBER(38,10)", "f": "FLOAT", "b": "BOOLEAN", "day": "DATE", "at": "TIMESTAMP_TZ(6)", "t": "TIME(6)",
    "j": "VARIANT", "raw": "BINARY", "g": "GEOMETRY",
}  # fmt: skip
FIELDS: list[tuple[str, pa.DataType]] = [
    ("s", pa.string()), ("i8", pa.int8()), ("i16", pa.int16()), ("i32", pa.int32()), ("i64", pa.int64()),
    ("d", pa.decimal128(38, 10)), ("f", pa.float64()), ("b", pa.bool_()), ("day", pa.date32()),
    ("at", pa.timestamp("us", "UTC")), ("t", pa.time64("us")), ("j", pa.string()), ("raw", pa.binary()),
    ("g", pa.binary()),
]  # fmt: skip
SCHEMA = pa.schema(FIELDS)
ROWS: list[dict[str, Any]] = [
    {
        "s": "it's", "i8": -128, "i16": -32768, "i32": 2**31 - 1, "i64": -(2**63),
        "d": Decimal("1234567890123456789012345678.0123456789"), "f": math.inf, "b": True, "day": dt.date(1, 1, 1),
        "at": dt.datetime(1, 1, 1, 0, 0, 0, 1, UTC), "t": dt.time(23, 59, 59, 999999), "j": '{"a":[1,"x"]}',
        "raw": b"\x00\xff", "g": POINT,
    },
    {
        "s": "", "i8": 127, "i16": 0, "i32": 0, "i64": 2**63 - 1, "d": Decimal("-0.0000000001"), "f": -0.5, "b": False,
        "day": dt.date(9999, 12, 31), "at": dt.datetime(9999, 12, 31, 23, 59, 59, 999999, UTC), "t": dt.time(0), "j": "7",  # noqa: E501
        "raw": b"", "g": None,
    },
    {"at": dt.datetime(1969, 12, 31, 23, 59, 59, 500000, UTC)},
]  # fmt: skip
TRANSFORMED = {
    **{name: f"$1:{name}::{kind}" for name, kind in COLUMNS.items()},
    "j": "PARSE_JSON($1:j::VARCHAR)",
    "g": "TO_GEOMETRY($1:g::BINARY, 2263)",
}
OPTIONS = "FILE_FORMAT = (FORMAT_NAME = parquet) FORCE = TRUE"


@pytest.fixture
def stage(cursor: SnowflakeCursor, lake: Lake) -> str:
    cursor.execute("create file format parquet type = parquet use_logical_type = true binary_as_text = false")
    cursor.execute(f"create stage lake url = '{lake.url}' storage_integration = {lake.integration}")
    return "@lake"


def expected() -> list[tuple[object, ...]]:
    return [tuple(row.get(name) for name in COLUMNS if name not in ("j", "g", "raw")) for row in ROWS]


def test_a_transforming_copy_keeps_every_value_of_every_type(cursor: SnowflakeCursor, stage: str, lake: Lake) -> None:
    lake.put("exact/part-0.parquet", pa.Table.from_pylist(ROWS, SCHEMA))
    cursor.execute("create table t (" + ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items()) + ")")
    cursor.execute(
        f"COPY INTO t ({', '.join(COLUMNS)}) FROM (SELECT {', '.join(TRANSFORMED.values())} FROM {stage}/exact/)"
        f" FILES = ('part-0.parquet') {OPTIONS}"
    )
    plain = ", ".join(name for name in COLUMNS if name not in ("j", "g", "raw"))
    assert rows(cursor, f"select {plain} from t") == expected()
    assert rows(cursor, "select j:a[1]::varchar, j::varchar, raw from t where j is not null") == [
        ("x", '{"a":[1,"x"]}', b"\x00\xff"),
        (None, "7", b""),
    ]
    assert one(cursor, "select st_srid(g), st_aswkb(g) from t where g is not null") == (2263, POINT)


def test_a_rolled_back_copy_leaves_no_rows(cursor: SnowflakeCursor, stage: str, lake: Lake) -> None:
    lake.put("undone/part-0.parquet", pa.table({"id": [1]}))
    cursor.execute("create table t (id number(19,0))")
    copy = f"COPY INTO t FROM (SELECT $1:id FROM {stage}/undone/) FILES = ('part-0.parquet') {OPTIONS}"
    cursor.execute("begin")
    cursor.execute("delete from t")
    assert one(cursor, copy)[:4] == (f"{lake.url}undone/part-0.parquet", "LOADED", 1, 1)
    cursor.execute("rollback")
    assert one(cursor, "select count(*) from t") == 0


@pytest.mark.stand_in
@pytest.mark.parametrize(
    "statement",
    [
        "COPY INTO t FROM (SELECT $1:id FROM @lake/some/) FILES = ('part-0.parquet') FILE_FORMAT = (TYPE = PARQUET)",
        "COPY INTO t FROM (SELECT $1:id FROM @lake/some/) FILE_FORMAT = (TYPE = PARQUET) FORCE = TRUE",
        "COPY INTO t FROM @lake/some/ FILES = ('part-0.parquet') FILE_FORMAT = (TYPE = PARQUET) FORCE = TRUE"
        " MATCH_BY_COLUMN_NAME = CASE_INSENSITIVE",
        "COPY INTO t FROM (SELECT $1 FROM @lake/some/) FILES = ('a.csv') FILE_FORMAT = (TYPE = CSV) FORCE = TRUE",
        *(
            f"COPY INTO t FROM (SELECT {select}) FILES = ('part-0.parquet') FILE_FORMAT = (TYPE = PARQUET) FORCE = TRUE"
            for select in (
                "sum($1:id) FROM @lake/some/",
                "row_number() over (order by 1) FROM @lake/some/",
                "dateadd(day, 1, $1:day) FROM @lake/some/",
                "my_function($1:id) FROM @lake/some/",
                "DISTINCT $1:id FROM @lake/some/",
                "$1:id FROM @lake/some/ WHERE $1:id > 1",
                "$1:id FROM @lake/some/ ORDER BY 1",
                "$1:id FROM @lake/some/ LIMIT 1",
            )
        ),
    ],
)
def test_a_form_that_the_platform_does_not_use_is_refused(cursor: SnowflakeCursor, stage: str, statement: str) -> None:
    """Of a transformation: https://docs.snowflake.com/en/user-guide/data-load-transform"""
    cursor.execute("create table t (id number(19,0))")
    assert refusal(cursor, statement).errno == 2


def test_what_cannot_be_loaded_is_a_sql_error(cursor: SnowflakeCursor, stage: str, lake: Lake) -> None:
    lake.put("bad/part-0.parquet", pa.table({"id": [100000], "s": pa.array([None], pa.string())}))
    cursor.execute("create table t (id number(5,0), s varchar)")
    named = f"COPY INTO t (id, s) FROM (SELECT $1:id, $1:s FROM {stage}/bad/) FILES = ('part-0.parquet') {OPTIONS}"
    assert refusal(cursor, named).errno == 100039
    assert refusal(cursor, named.replace("part-0", "gone")).errno == 91016
    assert refusal(cursor, named.replace("@lake", "@nowhere")).errno == 2003
    assert refusal(cursor, named.replace("= parquet)", "= nothing)")).errno == 2003
    wrong = f"COPY INTO t (nope) FROM (SELECT $1:id FROM {stage}/bad/) FILES = ('part-0.parquet') {OPTIONS}"
    assert refusal(cursor, wrong).errno == 904
    cursor.execute("create table strict (s varchar not null)")
    assert refusal(cursor, named.replace("INTO t (id, s)", "INTO strict (s)").replace("$1:id, ", "")).errno == 100072
    assert one(cursor, "select count(*) from t") == 0


@pytest.mark.parametrize(
    ("name", "largest", "larger", "number"),
    [
        ("s", "x" * 2**24, "x" * (2**24 + 1), 100082),
        ("s", "é" * 2**23, "é" * 2**23 + "x", 100082),
        ("j", f'"{"x" * (2**24 - 2)}"', f'"{"x" * (2**24 - 1)}"', 100082),
        ("raw", b"x" * 2**23, b"x" * (2**23 + 1), 100082),
        ("g", POINT, struct.pack("<BIddd", 1, 1001, 1.5, 2.5, 3.5), 2),
        ("g", POINT, struct.pack(">BIddd", 0, 0x40000001, 1.5, 2.5, 3.5), 2),
    ],
    ids=["text", "text of two bytes each", "variant", "binary", "Z", "M"],
)
def test_a_value_that_snowflake_does_not_store_fails_the_copy(
    cursor: SnowflakeCursor, stage: str, lake: Lake, name: str, largest: object, larger: object, number: int
) -> None:
    """16 MB of VARCHAR or VARIANT, 8 MB of BINARY, and shapes of two dimensions:
    https://docs.snowflake.com/en/sql-reference/intro-summary-data-types"""
    cursor.execute(f"create table t (v {COLUMNS[name]})")
    for part, value in (("largest", largest), ("larger", larger)):
        lake.put(f"limits/{part}.parquet", pa.Table.from_pylist([{name: value}], pa.schema([SCHEMA.field(name)])))
    copy = f"COPY INTO t FROM (SELECT {TRANSFORMED[name]} FROM {stage}/limits/) FILES = ('%s.parquet') {OPTIONS}"
    cursor.execute(copy % "largest")
    assert refusal(cursor, copy % "larger").errno == number
    assert one(cursor, "select count(*) from t") == 1


def test_two_hundred_small_files_are_one_quick_statement(cursor: SnowflakeCursor, stage: str, lake: Lake) -> None:
    names = [f"part-{i:05}.parquet" for i in range(200)]
    for name in names:
        lake.put(f"many/{name}", pa.table({"id": list(range(10))}))
    cursor.execute("create table t (id number(19,0))")
    files = ", ".join(f"'{name}'" for name in names)
    started = time.monotonic()
    report = rows(cursor, f"COPY INTO t FROM (SELECT $1:id FROM {stage}/many/) FILES = ({files}) {OPTIONS}")
    assert time.monotonic() - started < patience(5)
    assert len(report) == 200 and sum(row[3] for row in report) == 2000
