"""Runs MERGE as DuckDB's own MERGE, with the row counts that Snowflake reports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from sqlglot import exp

from data_platform.local_cloud.snowflake.dialect.merge import COUNTED, operations
from data_platform.local_cloud.snowflake.engine.results import arrow_table


def run_merge(duck: duckdb.DuckDBPyConnection, merge: exp.Merge, params: Sequence[Any] | None) -> tuple[pa.Table, int]:
    """Run a transformed MERGE. Returns Snowflake's one row of counts and the rows affected in all."""
    names = operations(merge)
    duck.execute(merge.sql(dialect="duckdb") + " RETURNING merge_action", params)
    actions = arrow_table(duck).column(0)
    counted = {c["values"].as_py(): c["counts"].as_py() for c in pc.value_counts(actions)}
    counts = {f"number of rows {COUNTED[name]}": [counted.get(name, 0)] for name in names}
    return pa.table(counts), sum(value for (value,) in counts.values())
