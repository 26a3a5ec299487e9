"""Functions that sqlglot and fakesnow translate wrongly: dates that stay dates, timestamps as text, VARIANT.

Each rule names what Snowflake documents for it. Arithmetic on NUMBER is in `numbers`.
"""

from __future__ import annotations

import re

from fakesnow import transforms as fs
from sqlglot import Expr, exp

from data_platform.local_cloud.snowflake.dialect.duckdb_sql import MAIN, call
from data_platform.local_cloud.snowflake.dialect.literals import without_spaced_offset

_SPACED = "regexp_replace({}, '(\\d) +([+-]\\d|Z$)', '\\1\\2')"

# A timestamp's text: Snowflake's default TIMESTAMP_OUTPUT_FORMAT is YYYY-MM-DD HH24:MI:SS.FF3 TZHTZM.
MACROS = f"""
CREATE OR REPLACE MACRO {MAIN}._dp_trunc(p VARCHAR, x DATE) AS date_trunc(p, x)::DATE,
    (p VARCHAR, x TIMESTAMP) AS date_trunc(p, x), (p VARCHAR, x TIMESTAMPTZ) AS date_trunc(p, x),
    (p VARCHAR, x VARCHAR) AS date_trunc(p, x::TIMESTAMP);
CREATE OR REPLACE MACRO {MAIN}._dp_add_days(x DATE, i) AS (x + i)::DATE,
    (x TIMESTAMP, i) AS x + i, (x TIMESTAMPTZ, i) AS x + i, (x TIME, i) AS x + i,
    (x VARCHAR, i) AS {_SPACED.format("x")}::TIMESTAMP + i;
CREATE OR REPLACE MACRO {MAIN}._dp_seconds(t) AS
    t[1:19] || '.' || rpad(coalesce(nullif(regexp_extract(t, '\\.(\\d+)', 1), ''), '0'), 3, '0')[1:3];
CREATE OR REPLACE MACRO {MAIN}._dp_offset(t) AS
    regexp_extract(t, '([+-]\\d\\d)(?::(\\d\\d))?$', 1)
    || coalesce(nullif(regexp_extract(t, '([+-]\\d\\d):(\\d\\d)$', 2), ''), '00');
CREATE OR REPLACE MACRO {MAIN}._dp_text(x) AS CASE typeof(x)
    WHEN 'JSON' THEN CASE WHEN TRY(json_type(x::VARCHAR)) = 'NULL' THEN NULL ELSE TRY((x::VARCHAR)->>'$') END
    WHEN 'TIMESTAMP WITH TIME ZONE' THEN {MAIN}._dp_seconds(x::VARCHAR) || ' ' || {MAIN}._dp_offset(x::VARCHAR)
    WHEN 'TIMESTAMP' THEN {MAIN}._dp_seconds(x::VARCHAR)
    WHEN 'TIME' THEN (x::VARCHAR)[1:8]
    WHEN 'DOUBLE' THEN regexp_replace(x::VARCHAR, '\\.0$', '')
    WHEN 'BLOB' THEN regexp_replace(x::VARCHAR, '^$', '')
    ELSE x::VARCHAR END;
"""

_TEXT = {exp.DataType.Type.VARCHAR, exp.DataType.Type.TEXT, exp.DataType.Type.CHAR, exp.DataType.Type.NVARCHAR}
_FORMAT_TOKENS = re.compile(
    r'"([^"]*)"|YYYY|YY|MMMM|MON|MM|DD|DY|HH24|HH12|HH|AM|PM|MI|SS|FF[0-9]?|TZHTZM|TZH:TZM|TZH|TZM|.', re.I | re.S
)
_STRFTIME = {
    "YYYY": "%Y", "YY": "%y", "MMMM": "%B", "MON": "%b", "MM": "%m", "DD": "%d", "DY": "%a", "HH24": "%H",
    "HH12": "%I", "HH": "%H", "AM": "%p", "PM": "%p", "MI": "%M", "SS": "%S", "FF3": "%g", "FF6": "%f", "FF": "%n",
    "FF9": "%n", "TZHTZM": "%z", "TZH:TZM": "%z", "TZH": "%z",
}  # fmt: skip


def strftime_format(snowflake_format: str) -> str:
    """DuckDB's strftime format for one of Snowflake's date and time formats."""
    parts = []
    for match in _FORMAT_TOKENS.finditer(snowflake_format):
        quoted = match[1]
        token = match[0]
        parts.append(quoted if quoted is not None else _STRFTIME.get(token.upper(), token.replace("%", "%%")))
    return "".join(parts)


def snowflake_functions(node: Expr) -> Expr:
    """Rewrite one node. Its children come first."""
    if isinstance(node, exp.ToChar):
        return _to_char(node)
    if isinstance(node, exp.Cast):
        return _cast(node)
    if isinstance(node, (exp.TimestampTrunc, exp.DateTrunc)) and node.unit is not None:
        return call("_dp_trunc", exp.Literal.string(node.unit.name.lower()), node.this)
    if isinstance(node, exp.DateAdd):
        return _date_add(node)
    if isinstance(node, exp.ToVariant):
        return exp.Anonymous(this="TO_JSON", expressions=[node.this])
    if isinstance(node, exp.Update):
        for assignment in node.expressions:
            if isinstance(assignment, exp.EQ) and isinstance(assignment.this, exp.Column):
                assignment.set("this", exp.column(assignment.this.this.copy()))
        return node
    return node


def _to_char(node: exp.ToChar) -> Expr:
    given = node.args.get("format")
    text = given.name if isinstance(given, exp.Literal) and given.is_string else None
    if text is None:
        return call("_dp_text", node.this)
    if not re.search(r"YY|MM|DD|HH|MI|SS|DY|MON", text, re.I):
        return node
    value = node.this
    if isinstance(value, exp.Literal) and value.is_string:
        value = exp.cast(value, "TIMESTAMP")
    return exp.Anonymous(this="strftime", expressions=[value, exp.Literal.string(strftime_format(text))])


def _cast(node: exp.Cast) -> Expr:
    kind = node.to.this
    if kind is exp.DataType.Type.VARIANT:
        return exp.Anonymous(this="TO_JSON", expressions=[node.this])
    if kind in _TEXT and type(node) is exp.Cast:
        # a path into a VARIANT is fakesnow's to turn into text; a constant is text already
        if isinstance(node.this, (exp.JSONExtract, exp.Literal, exp.Null, exp.Bracket, exp.JSONExtractScalar)):
            return node
        if node.find_ancestor(exp.Copy) or not isinstance(node.parent, Expr):
            return node
        return call("_dp_text", node.this)
    if isinstance(node.this, exp.Literal) and node.this.is_string and kind in _TIMESTAMPS:
        node.this.set("this", without_spaced_offset(node.this.name))
    return node


_TIMESTAMPS = {exp.DataType.Type.TIMESTAMPTZ, exp.DataType.Type.TIMESTAMPLTZ, exp.DataType.Type.TIMESTAMP}


def _date_add(node: exp.DateAdd) -> Expr:
    """DATEADD of whole days or more keeps a DATE a DATE (https://docs.snowflake.com/en/sql-reference/functions/dateadd)."""
    unit = node.unit.name.upper() if node.unit is not None else "DAY"
    if unit not in ("DAY", "WEEK", "MONTH", "QUARTER", "YEAR"):
        return node
    amount = exp.cast(exp.paren(node.expression), "BIGINT")
    interval = exp.Anonymous(
        this="to_" + {"DAY": "days", "WEEK": "weeks", "MONTH": "months", "QUARTER": "months", "YEAR": "years"}[unit],
        expressions=[
            exp.cast(exp.Mul(this=amount, expression=exp.Literal.number(3 if unit == "QUARTER" else 1)), "INTEGER")
        ],
    )
    value = node.this
    if isinstance(value, exp.Literal) and value.is_string:
        value = exp.cast(value, "TIMESTAMP")
    return call("_dp_add_days", value, interval)


def to_timestamp(node: Expr) -> Expr:
    """fakesnow's, but for TRY_CAST, which must not raise."""
    return node if isinstance(node, exp.TryCast) else fs.to_timestamp(node)
