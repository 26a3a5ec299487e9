"""The transforms of a statement's tree from Snowflake's SQL to DuckDB's: fakesnow's own, in its order, without those
that make values inexact, and with ours among them. Every transform is a function of one node.
"""

from __future__ import annotations

from collections.abc import Callable

from fakesnow import transforms as fs
from fakesnow.conn import FakeSnowflakeConnection
from sqlglot import Expr

from data_platform.local_cloud.snowflake.dialect.functions import to_timestamp
from data_platform.local_cloud.snowflake.dialect.geometry import geometry_type
from data_platform.local_cloud.snowflake.dialect.types import column_types, parameterless_types

Transform = Callable[[Expr], Expr]


def pipeline(session: FakeSnowflakeConnection) -> list[Transform]:
    """The transforms for one statement of `session`, in order."""
    database, schema = session.database, session.schema
    return [
        lambda e: fs.identifier(e, None),
        fs.upper_case_unquoted_identifiers,
        lambda e: fs.set_schema(e, current_database=database),
        lambda e: fs.create_database(e, db_path=session.db_path),
        fs.information_schema_fs,
        lambda e: fs.information_schema_databases(e, current_schema=schema),
        fs.drop_schema_cascade,
        fs.semi_structured_types,
        fs.try_parse_json,
        fs.split,
        fs.trim_cast_varchar,
        fs.indices_to_json_extract,
        fs.json_extract_cast_as_varchar,
        fs.json_extract_cased_as_varchar,
        fs.json_extract_precedence,
        fs.flatten_value_cast_as_varchar,
        fs.flatten,
        fs.regex_replace,
        fs.regex_substr,
        fs.values_columns,
        fs.to_date,
        fs.timestamp_offsets,
        fs.to_decimal,
        to_timestamp,
        fs.to_variant,
        fs.object_construct,
        fs.timestamp_ntz,
        fs.float_to_double,
        column_types,
        parameterless_types,
        fs.array_size,
        fs.random,
        fs.array_agg_within_group,
        fs.array_agg,
        fs.object_agg,
        fs.array_construct_etc,
        fs.dateadd_string_literal_timestamp_cast,
        fs.datediff_string_literal_timestamp_cast,
        lambda e: fs.show_stages(e, database, schema),
        fs.hex_string,
        fs.sha256,
        fs.alias_in_join,
        fs.alias_in_where,
        lambda e: fs.create_stage(e, database, schema),
        lambda e: fs.create_file_format(e, database, schema),
        geometry_type,
    ]


def rewritten(expression: Expr, rewrite: Transform) -> Expr:
    """Apply `rewrite` to every node, children first, so that a call inside a rewritten call is rewritten too.

    `Expr.transform` leaves out what is below a node that it replaces.
    """
    for node in reversed(list(expression.dfs())):
        new = rewrite(node)
        if new is not node:
            if node is expression:
                expression = new
            else:
                node.replace(new)
    return expression
