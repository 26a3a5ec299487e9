"""MERGE. https://docs.snowflake.com/en/sql-reference/sql/merge"""

from __future__ import annotations

import pytest
from snowflake.connector.cursor import SnowflakeCursor

from data_platform_tests.local_cloud.snowflake.answers import one, refusal, rows


def test_each_row_takes_the_first_clause_that_fits_and_all_are_counted(cursor: SnowflakeCursor) -> None:
    cursor.execute("create table t (id number, v varchar, gone boolean)")
    cursor.execute("insert into t select column1, column2, false from values (1, 'a'), (2, 'b'), (3, 'c')")
    cursor.execute("begin")
    cursor.execute(
        """
        merge into t as target using (
            select column1 as id, column2 as v, column3 as gone from values (1, 'x', false), (2, null, true), (4, 'd', false)
        ) as source
        on target.id = source.id
        when matched and source.gone then delete
        when matched then update set target.v = source.v, gone = source.gone
        when not matched then insert (id, v, gone) values (source.id, source.v, source.gone)
        """  # noqa: E501
    )
    assert cursor.fetchall() == [(1, 1, 1)]
    assert [column.name for column in cursor.description] == [
        "number of rows inserted", "number of rows updated", "number of rows deleted",
    ]  # fmt: skip
    assert cursor.rowcount == 3
    cursor.execute("commit")
    assert rows(cursor, "select id, v from t order by id") == [(1, "x"), (3, "c"), (4, "d")]


def test_two_source_rows_for_one_target_row_are_refused(cursor: SnowflakeCursor) -> None:
    """ERROR_ON_NONDETERMINISTIC_MERGE is on by default."""
    cursor.execute("create table t (id number, v varchar)")
    cursor.execute("insert into t values (1, 'a')")
    error = refusal(
        cursor,
        "merge into t using (select * from values (1, 'x'), (1, 'y') as s(id, v)) s on t.id = s.id"
        " when matched then update set v = s.v",
    )
    assert error.errno == 100090
    assert one(cursor, "select v from t") == "a"


@pytest.mark.stand_in  # on an account, the loader may not create a database
def test_source_and_target_may_be_in_different_databases(cursor: SnowflakeCursor) -> None:
    schema = one(cursor, "select current_schema()")
    cursor.execute("create table t (id number, v varchar)")
    cursor.execute("create database if not exists merge_source")
    cursor.execute("create or replace table merge_source.public.s as select 1 as id, 'far' as v")
    cursor.execute(
        f"merge into data_platform.{schema}.t using merge_source.public.s on t.id = s.id"
        " when not matched then insert (id, v) values (s.id, s.v)"
    )
    assert rows(cursor, f"select * from data_platform.{schema}.t") == [(1, "far")]
