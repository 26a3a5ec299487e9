"""Runs MERGE as DuckDB's own MERGE, with the row counts that Snowflake reports."""

from __future__ import annotations

import duckdb
import pyarrow.compute as pc
from sqlglot import exp

from data_platform.local_cloud.snowflake.dialect.merge import COUNTED, operations
from data_platform.local_cloud.snowflake.engine.results import Result, arrow_table, counted


def run_merge(duck: duckdb.DuckDBPyConnection, merge: exp.Merge) -> Result:
    """Run a transformed MERGE. Its result is Snowflake's one row of counts."""
    names = operations(merge)
    duck.execute(merge.sql(dialect="duckdb") + " RETURNING merge_action")
    actions = arrow_table(duck).column(0)
    done = {c["values"].as_py(): c["counts"].as_py() for c in pc.value_counts(actions)}
    counts = {f"number of rows {COUNTED[name]}": done.get(name, 0) for name in names}
    return counted(counts, sum(counts.values()))
