"""The transforms of a statement's tree on its way from Snowflake's SQL to DuckDB's.

fakesnow's own transforms, in its order, without those that make values inexact, and with ours around them. Every
transform is a function of one node (sqlglot trees, never text). What runs a statement is in `cursor`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fakesnow import transforms as fs
from sqlglot import Expr, exp

from data_platform.local_cloud.snowflake.catalog import information_schema
from data_platform.local_cloud.snowflake.functions import snowflake_functions, to_timestamp
from data_platform.local_cloud.snowflake.geometry import geometry_functions, geometry_type
from data_platform.local_cloud.snowflake.numbers import exact_quotients
from data_platform.local_cloud.snowflake.parameters import result_scan, session_functions
from data_platform.local_cloud.snowflake.temporary import point_to_temporary
from data_platform.local_cloud.snowflake.types import (
    column_types,
    parameterless_types,
)
from data_platform.local_cloud.snowflake.values import compared_timestamps

if TYPE_CHECKING:
    from data_platform.local_cloud.snowflake.session import Session

Transform = Callable[[Expr], Expr]


def pipeline(session: Session, params: Any) -> list[Transform]:
    """The transforms for one statement of `session`, in order."""
    database, schema = session.database, session.schema
    stages = session.table_stages
    return [
        lambda e: fs.identifier(e, params),
        fs.upper_case_unquoted_identifiers,
        lambda e: fs.update_variables(e, session.variables),
        lambda e: fs.set_schema(e, current_database=database),
        lambda e: fs.create_database(e, db_path=session.db_path),
        fs.information_schema_fs,
        lambda e: fs.information_schema_databases(e, current_schema=schema),
        fs.drop_schema_cascade,
        fs.tag,
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
        fs.sequence_nextval,
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
        fs.sample,
        fs.array_size,
        fs.random,
        fs.array_agg_within_group,
        fs.array_agg,
        fs.object_agg,
        fs.array_construct_etc,
        fs.dateadd_string_literal_timestamp_cast,
        fs.datediff_string_literal_timestamp_cast,
        fs.show_databases,
        fs.show_functions,
        fs.show_procedures,
        fs.show_warehouses,
        lambda e: fs.show_tables_etc(e, database, schema),
        lambda e: fs.show_columns(e, database, schema),
        lambda e: fs.show_stages(e, database, schema),
        lambda e: fs.show_sequences(e, database, schema),
        lambda e: fs.show_keys(e, database, kind="PRIMARY"),
        lambda e: fs.show_keys(e, database, kind="UNIQUE"),
        lambda e: fs.show_keys(e, database, kind="FOREIGN"),
        fs.show_users,
        fs.create_user,
        fs.haversine,
        fs.hex_string,
        fs.sha256,
        fs.create_clone,
        fs.alias_in_join,
        fs.alias_in_where,
        fs.alter_table_strip_cluster_by,
        lambda e: fs.create_stage(e, database, schema),
        lambda e: fs.create_file_format(e, database, schema),
        lambda e: fs.list_stage(e, database, schema, stages),
        lambda e: fs.put_stage(e, database, schema, params, stages),
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


def to_duckdb(expression: Expr, session: Session, params: Any) -> Expr:
    """The tree that DuckDB runs for a Snowflake statement's tree."""
    expression = rewritten(expression, geometry_functions)
    expression = rewritten(expression, lambda e: session_functions(e, session))
    expression = rewritten(expression, compared_timestamps)
    expression = rewritten(expression, snowflake_functions)
    expression = rewritten(expression, lambda e: result_scan(e, session))
    expression = rewritten(expression, lambda e: information_schema(e, session))
    expression = rewritten(expression, lambda e: point_to_temporary(e, session))
    for transform in pipeline(session, params):
        expression = expression.transform(transform, copy=False)
    reserved = session.instance.reserved_words
    for identifier in expression.find_all(exp.Identifier):
        if not identifier.quoted and identifier.name.upper() in reserved:
            identifier.set("quoted", True)
    return exact_quotients(session.duck, expression)
