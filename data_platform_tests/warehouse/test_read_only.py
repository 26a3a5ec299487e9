"""Which statements only read."""

from __future__ import annotations

import pytest

from data_platform.warehouse.read_only import NotReadOnly, require_read_only


@pytest.mark.parametrize(
    "query",
    [
        "select 1",
        "SELECT a, count(*) FROM db.s.t WHERE a = 'drop table t' GROUP BY 1 HAVING max(b) > 1;",
        "with a as (select 1 as x) select * from a union all select 2",
        "select value from t, lateral flatten(input => t.j)",
        "select * from table(flatten(input => parse_json('[1]')))",
        'select my_own_function(x) as "delete" from t -- drop table t',
    ],
)
def test_a_query_reads(query: str) -> None:
    require_read_only(query)


@pytest.mark.parametrize(
    "statement",
    [
        "delete from t",
        "insert into t select 1",
        "merge into t using s on t.a = s.a when matched then delete",
        "create table x as select 1",
        "drop table t",
        "truncate table t",
        "alter table t add column a int",
        "grant select on t to role r",
        "call p()",
        "execute immediate 'drop table t'",
        "copy into t from @s",
        "begin",
        "use role accountadmin",
        "select 1; drop table t",
        "select system$cancel_query('1')",
        "select seq.nextval",
        "select * from table(db.s.a_procedure(1))",
        "",
        "select from where",
    ],
)
def test_anything_else_is_refused(statement: str) -> None:
    with pytest.raises(NotReadOnly):
        require_read_only(statement)
