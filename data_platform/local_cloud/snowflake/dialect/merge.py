"""MERGE as DuckDB's own MERGE, with the row counts that Snowflake reports.

See https://docs.snowflake.com/en/sql-reference/sql/merge.
"""

from __future__ import annotations

from sqlglot import exp

COUNTED = {"INSERT": "inserted", "UPDATE": "updated", "DELETE": "deleted"}


def bare_set_columns(merge: exp.Merge) -> exp.Merge:
    """Take the table off the columns that are assigned and inserted: DuckDB wants them bare, Snowflake takes both."""
    for when in merge.args["whens"].expressions:
        then = when.args["then"]
        if isinstance(then, exp.Update):
            for assignment in then.expressions:
                if isinstance(assignment, exp.EQ) and isinstance(assignment.this, exp.Column):
                    assignment.set("this", exp.column(assignment.this.this.copy()))
        elif isinstance(then, exp.Insert) and isinstance(then.this, exp.Tuple):
            for column in list(then.this.expressions):
                if isinstance(column, exp.Column):
                    column.replace(exp.column(column.this.copy()))
    return merge


def operations(merge: exp.Merge) -> list[str]:
    """The operations that the statement's WHEN clauses can do, in the order Snowflake reports them."""
    found = set()
    for when in merge.args["whens"].expressions:
        then = when.args["then"]
        found.add("INSERT" if isinstance(then, exp.Insert) else "UPDATE" if isinstance(then, exp.Update) else "DELETE")
    return [name for name in COUNTED if name in found]
