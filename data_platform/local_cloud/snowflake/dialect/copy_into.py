"""COPY INTO's trees: `$1:name` as a column of the file. `engine.copy_into` loads the files."""

from __future__ import annotations

from sqlglot import Expr, exp


def prepared_copy(copy: exp.Copy) -> exp.Copy:
    """Name the file format by text, and make `$1:name` a column of the file, before other transforms take it for JSON.

    A path of more than one step keeps its further steps: they lead into a nested value of the file.
    """
    for parameter in copy.args.get("params") or []:
        for option in parameter.expressions:
            # FORMAT_NAME = schema.name is parsed as a table; fakesnow looks for a name as text
            if isinstance(option, exp.Property) and isinstance(option.args.get("value"), (exp.Table, exp.Column)):
                option.set("value", exp.Literal.string(option.args["value"].sql(dialect="snowflake")))
    source = copy.args["files"][0]
    if not isinstance(source, exp.Subquery):
        return copy
    _refuse_what_copy_lacks(source.this)
    for parameter in list(source.find_all(exp.Parameter)):
        path = parameter.find_ancestor(exp.JSONExtract)
        if parameter.name != "1" or path is None or not isinstance(path.expression, exp.JSONPath):
            continue
        keys = [part for part in path.expression.expressions if isinstance(part, exp.JSONPathKey)]
        column = exp.column(exp.to_identifier(str(keys[0].this), quoted=True), table="_FILE")
        if len(keys) == 1:
            path.replace(column)
        else:
            rest = exp.JSONPath(expressions=[exp.JSONPathRoot(), *keys[1:]])
            path.replace(exp.JSONExtract(this=column, expression=rest))
    return copy


def _refuse_what_copy_lacks(select: Expr) -> None:
    """Refuse clauses and functions that a transformation can't have, such as WHERE, aggregates and UDFs. Of the
    functions that COPY has (https://docs.snowflake.com/en/user-guide/data-load-transform#supported-functions), those
    that the platform uses are here: casts, PARSE_JSON and TO_GEOMETRY."""
    if clauses := sorted(k for k, given in select.args.items() if given and k not in ("expressions", "from_", "from")):
        raise NotImplementedError(f"COPY INTO with a transformation that has {', '.join(clauses)}".upper())
    for function in select.find_all(exp.Func):
        name = function.name if isinstance(function, exp.Anonymous) else function.sql_name()
        if type(function) not in (exp.Cast, exp.JSONExtract, exp.ParseJSON) and name.upper() != "TO_GEOMETRY":
            raise NotImplementedError(f"the function {name.upper()} in a transformation of COPY INTO")


def transformation(select: Expr, file_columns: dict[str, str]) -> list[str]:
    """The projections as DuckDB SQL. A field that the files do not have is NULL, as a path into VARIANT is."""
    for column in list(select.find_all(exp.Column)):
        if column.table == "_FILE" and column.name not in file_columns:
            column.replace(exp.null())
    return [p.unalias().sql(dialect="duckdb") for p in select.expressions]
