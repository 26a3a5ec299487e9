"""Exact numbers, and values by literal, by binding and by the thousand."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest
import snowflake.connector
from snowflake.connector.cursor import SnowflakeCursor

from data_platform_tests.local_cloud.snowflake.answers import one, rows

LARGE = 12345678901234567890123456789012345678


def test_a_number_of_38_digits_keeps_them_all(cursor: SnowflakeCursor) -> None:
    cursor.execute("create table t (id number(38,0), n number(38,10))")
    cursor.execute(f"insert into t values ({LARGE}, 1234567890123456789012345678.0123456789)")
    assert one(cursor, "select id, n from t") == (LARGE, Decimal("1234567890123456789012345678.0123456789"))


def test_sums_and_averages_of_number_are_exact(cursor: SnowflakeCursor) -> None:
    """SUM of NUMBER(p, s) is NUMBER(38, s); AVG and division have a scale of max(s, min(s + 6, 12))."""
    cursor.execute("create table t (n number(10,2), k int)")
    cursor.execute("insert into t select 0.10, 1 from table(generator(rowcount => 1000))")
    cursor.execute("insert into t values (9999999.99, 2)")
    assert one(cursor, "select sum(n), sum(k) from t") == (Decimal("10000099.99"), 1002)
    cursor.execute("create table u as select sum(n) as s, avg(n) as a, sum(n) / 3 as third from t")
    assert [row[1] for row in rows(cursor, "describe table u")] == ["NUMBER(38,2)", "NUMBER(38,8)", "NUMBER(38,8)"]
    assert one(cursor, "select * from u") == (
        Decimal("10000099.99"), Decimal("9990.10988012"), Decimal("3333366.66333333"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("expression", "answer"),
    [
        ("1 / 3", Decimal("0.333333")),
        ("2 / 3", Decimal("0.666667")),
        ("-2 / 3", Decimal("-0.666667")),
        ("1.5::float / 2", 0.75),
        ("10 / 4 / 5", Decimal("0.500000")),
        ("dateadd(day, 1, '2026-03-08'::date)", dt.date(2026, 3, 9)),
        ("date_trunc('month', '2026-03-08'::date)", dt.date(2026, 3, 1)),
        ("datediff(day, '2026-03-07'::date, '2026-03-09'::date)", 2),
        ("convert_timezone('UTC', 'America/New_York', '2026-03-08 07:30:00'::timestamp_ntz)", dt.datetime(2026, 3, 8, 3, 30)),  # noqa: E501
        ("'2026-03-08 01:30:00.123 -05:00'::timestamp_tz::varchar", "2026-03-08 06:30:00.123 +0000"),
        ("to_char('2026-03-08 01:30:00'::timestamp_ntz, 'YYYYMMDD HH24MISS')", "20260308 013000"),
        ("iff(null, 1, 2)", 2),
        ("try_cast('x' as number)", None),
        ("try_to_timestamp('x')", None),
        ("try_to_number('1.6')", 2),
        ("md5('a')", "0cc175b9c0f1b6a831c399e269772661"),
        ("parse_json('{\"a\": {\"b\": [1, \"x\"]}}'):a.b[1]::varchar", "x"),
        ("object_construct('a', 1, 'b', null)", '{"a":1}'),
        ("array_size(parse_json('[1,2,3]'))", 3),
        ("equal_null(null, null)", True),
        ("length(uuid_string())", 36),
        ("to_binary('00ff', 'HEX')", b"\x00\xff"),
    ],
)  # fmt: skip
def test_an_expression_has_snowflakes_value(cursor: SnowflakeCursor, expression: str, answer: object) -> None:
    assert one(cursor, f"select {expression}") == answer


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        ("select listagg(v, '-') within group (order by id desc) from t", [("c-b-a",)]),
        ("select id from t qualify row_number() over (order by id desc) = 1", [(3,)]),
        ("select median(id), percentile_cont(0.5) within group (order by id) from t", [(2, 2)]),
        ("select count_if(id > 1), array_agg(v) within group (order by id) from t", [(2, '["a","b","c"]')]),
        ("select f.index, f.value::int from t, lateral flatten(input => j) f where id = 1 order by 1", [(0, 10), (1, 20)]),  # noqa: E501
        ("select * exclude (j) from t where v like any ('a%', 'z%')", [(1, "a")]),
        ("select n from (select row_number() over (order by seq4()) n from table(generator(rowcount => 3))) where n = 3", [(3,)]),  # noqa: E501
    ],
)  # fmt: skip
def test_a_query_has_snowflakes_rows(cursor: SnowflakeCursor, query: str, answer: list[object]) -> None:
    cursor.execute("create table t (id number, v varchar, j variant)")
    cursor.execute(
        "insert into t select column1, column2, parse_json('[10, 20]') from values (1, 'a'), (2, 'b'), (3, 'c')"
    )
    assert rows(cursor, query) == answer


def test_text_with_an_offset_stays_text_and_becomes_a_timestamp_where_one_is_wanted(cursor: SnowflakeCursor) -> None:
    cursor.execute("create table t (v varchar, at timestamp_tz)")
    text = "2026-03-08 01:30:00 -05:00"
    cursor.execute(f"insert into t values ('{text}', '{text}')")
    cursor.executemany("insert into t values (%s, %s)", [(text, text)] * 30)
    cursor.execute(f"update t set v = '{text}', at = '{text}'")
    instant = dt.datetime(2026, 3, 8, 6, 30, tzinfo=dt.UTC)
    assert rows(cursor, "select distinct v, at from t") == [(text, instant)]
    assert one(cursor, f"select count(*) from t where at >= '{text}'") == 31
    assert snowflake.connector.paramstyle == "pyformat"
