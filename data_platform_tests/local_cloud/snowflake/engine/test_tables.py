"""CREATE, ALTER, DESCRIBE and SHOW of tables. https://docs.snowflake.com/en/sql-reference/sql/create-table"""

from __future__ import annotations

import pytest
from snowflake.connector.cursor import DictCursor, SnowflakeCursor

from data_platform_tests.local_cloud.snowflake.answers import one, refusal, rows

DECLARED = """
    create table t (
        id number(38,0) not null comment 'the row''s id', n number(10,2), i int, v varchar, f float, ok boolean, d date,
        at timestamp_tz(6), ntz timestamp_ntz, tm time(6), j variant, b binary, g geometry,
        primary key (id), unique (v)
    ) cluster by (d) comment = 'it''s a table'
"""


def test_types_are_printed_as_snowflake_prints_them(cursor: SnowflakeCursor) -> None:
    cursor.execute(DECLARED)
    described = {row[0]: (row[1], row[3]) for row in rows(cursor, "describe table t")}
    assert described == {
        "ID": ("NUMBER(38,0)", "N"), "N": ("NUMBER(10,2)", "Y"), "I": ("NUMBER(38,0)", "Y"),
        "V": ("VARCHAR(16777216)", "Y"), "F": ("FLOAT", "Y"), "OK": ("BOOLEAN", "Y"), "D": ("DATE", "Y"),
        "AT": ("TIMESTAMP_TZ(9)", "Y"), "NTZ": ("TIMESTAMP_NTZ(9)", "Y"), "TM": ("TIME(9)", "Y"),
        "J": ("VARIANT", "Y"), "B": ("BINARY(8388608)", "Y"), "G": ("GEOMETRY", "Y"),
    }  # fmt: skip
    columns = rows(
        cursor,
        "select column_name, data_type, numeric_precision, numeric_scale, is_nullable, comment"
        " from information_schema.columns where table_name = 'T' and table_schema = current_schema()"
        " order by ordinal_position limit 4",
    )
    assert columns == [
        ("ID", "NUMBER", 38, 0, "NO", "the row's id"),
        ("N", "NUMBER", 10, 2, "YES", None),
        ("I", "NUMBER", 38, 0, "YES", None),
        ("V", "TEXT", None, None, "YES", None),
    ]


def test_information_schema_counts_rows_and_tells_when_a_table_was_altered(cursor: SnowflakeCursor) -> None:
    cursor.execute(DECLARED)
    query = (
        "select row_count, bytes > 0, table_type, comment, last_altered from information_schema.tables"
        " where table_name = 'T' and table_schema = current_schema()"
    )
    before = one(cursor, query)
    cursor.execute("insert into t (id, v) values (1, 'a'), (2, 'b')")
    cursor.execute("delete from t where id = 1")
    after = one(cursor, query)
    assert before[:4] == (0, False, "BASE TABLE", "it's a table")
    assert after[:4] == (1, True, "BASE TABLE", "it's a table")
    assert after[4] > before[4]


def test_keys_are_declared_but_only_not_null_is_enforced(cursor: SnowflakeCursor) -> None:
    """https://docs.snowflake.com/en/sql-reference/constraints-overview"""
    cursor.execute(DECLARED)
    cursor.execute("insert into t (id, v) values (1, 'same'), (1, 'same')")
    assert refusal(cursor, "insert into t (id) values (null)").errno == 100072
    cursor.execute("alter table t alter column id drop not null")
    cursor.execute("insert into t (id) values (null)")


def test_columns_are_added_widened_and_dropped(cursor: SnowflakeCursor) -> None:
    cursor.execute("create table t (id number(5,0))")
    cursor.execute("insert into t values (1)")
    cursor.execute("alter table t add column if not exists a number(3,0), b varchar default 'x'")
    cursor.execute("alter table t add column if not exists a number(3,0), c timestamp_tz(6)")
    cursor.execute("alter table t alter column id set data type number(19,0)")
    cursor.execute("insert into t (id) values (9223372036854775807)")
    assert [row[:2] for row in rows(cursor, "describe table t")] == [
        ("ID", "NUMBER(19,0)"), ("A", "NUMBER(3,0)"), ("B", "VARCHAR(16777216)"), ("C", "TIMESTAMP_TZ(9)"),
    ]  # fmt: skip
    cursor.execute("alter table t drop column a, b")
    cursor.execute("alter table t rename column c to at")
    assert [row[0] for row in rows(cursor, "describe table t")] == ["ID", "AT"]


@pytest.mark.parametrize("narrower", ["number(3,0)", "number(12,2)", "varchar", "date"])
def test_a_type_is_not_changed_where_values_could_be_lost(cursor: SnowflakeCursor, narrower: str) -> None:
    """https://docs.snowflake.com/en/sql-reference/sql/alter-table-column"""
    cursor.execute("create table t (id number(10,0))")
    assert refusal(cursor, f"alter table t alter column id set data type {narrower}").errno == 2108


def test_comments_may_hold_apostrophes(cursor: SnowflakeCursor) -> None:
    cursor.execute("create table t (id number, v varchar)")
    cursor.execute("comment on table t is 'O''Hara''s'")
    cursor.execute("comment on column t.id is $$it's$$")
    cursor.execute('alter table t alter "ID" COMMENT $$that\'s$$, "V" COMMENT $$why$$')
    assert [row[9] for row in rows(cursor, "describe table t")] == ["that's", "why"]
    cursor.execute("create or replace view w (x comment 'c''s') comment = 'v''s' as select id as x from t")
    assert (
        one(
            cursor,
            "select comment from information_schema.tables where table_name = 'W' and table_schema = current_schema()",
        )
        == "v's"
    )


def test_a_temporary_table_shadows_a_permanent_one_in_its_session_only(
    cursor: SnowflakeCursor, other: SnowflakeCursor
) -> None:
    """https://docs.snowflake.com/en/user-guide/tables-temp-transient"""
    cursor.execute("create table t as select 'permanent' as kind")
    schema = one(cursor, "select current_database() || '.' || current_schema()")
    for _ in range(2):
        cursor.execute(f"create or replace temporary table {schema}.t as (select 'temporary' as kind)")
    assert one(cursor, "select t.kind from t") == "temporary"
    assert one(other, "select kind from t") == "permanent"
    assert [row[0] for row in rows(cursor, "describe table t")] == ["KIND"]
    cursor.execute("insert into t select 'more' from t")
    cursor.execute("drop table t")
    assert one(cursor, "select kind from t") == "permanent"


def test_show_lists_objects_page_by_page(cursor: SnowflakeCursor) -> None:
    schema = one(cursor, "select current_database() || '.' || current_schema()")
    database, _, name_of_schema = schema.partition(".")
    for name in ("a", "b", "c"):
        cursor.execute(f"create table {name} (id number)")
    cursor.execute("create view d as select 1 as id")
    cursor.execute("insert into a values (1), (2)")
    dictionaries = cursor.connection.cursor(DictCursor)
    first = dictionaries.execute(f"show objects in {schema} limit 2").fetchall()  # type: ignore[union-attr]
    rest = dictionaries.execute(f"show objects in schema {schema} limit 10 from 'B'").fetchall()  # type: ignore[union-attr]
    assert [(row["name"], row["kind"], row["rows"]) for row in [*first, *rest]] == [
        ("A", "TABLE", 2), ("B", "TABLE", 0), ("C", "TABLE", 0), ("D", "VIEW", None),
    ]  # fmt: skip
    assert [row[1] for row in rows(cursor, f"show tables like 'b%' in schema {schema}")] == ["B"]
    assert name_of_schema in [row[1] for row in rows(cursor, f"show terse schemas in database {database} limit 10000")]
    assert refusal(cursor, f"show objects in {database}.nowhere").errno == 2043


def test_create_schema_makes_it_the_current_one(cursor: SnowflakeCursor) -> None:
    made = one(cursor, "select current_schema()") + "_MADE_CURRENT"
    cursor.execute(f"create schema if not exists {made}")
    try:
        assert one(cursor, "select current_schema()") == made
    finally:
        cursor.execute(f"drop schema {made} cascade")


def test_two_tables_swap_at_once_beside_an_open_transaction(cursor: SnowflakeCursor, other: SnowflakeCursor) -> None:
    """https://docs.snowflake.com/en/sql-reference/sql/alter-table: SWAP WITH"""
    cursor.execute("create table held (v varchar)")
    cursor.execute("create table t (id number(10,0) not null comment 'old')")
    cursor.execute("create table t_next (id varchar comment 'new')")
    cursor.execute("insert into t_next values ('a')")
    other.execute("begin")
    other.execute("insert into held values ('x')")
    cursor.execute("alter table t swap with t_next")
    assert rows(cursor, "select id from t") == [("a",)]
    assert rows(cursor, "select id from t_next") == []
    assert [row[9] for row in rows(cursor, "describe table t")] == ["new"]
    other.execute("rollback")
