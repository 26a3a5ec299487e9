"""The tree of a statement's text."""

from __future__ import annotations

import sqlglot
from fakesnow.dialect import syntax_error
from sqlglot import Expr, exp
from sqlglot.errors import ParseError

from data_platform.local_cloud.snowflake.dialect.errors import compilation_error, error

MAX_BYTES = 1 << 20
"""The size of a statement's text, literals included (https://docs.snowflake.com/en/user-guide/query-size-limits). The
page names no error code. Snowflake applies the limit after compression; here, as it advises, it holds before."""


def parse_statement(text: str) -> Expr:
    """The one statement of `text`. Raises ProgrammingError for none, several, one that does not parse, or one that is
    too long."""
    if len(text) > MAX_BYTES or (not text.isascii() and len(text.encode()) > MAX_BYTES):
        size = len(text.encode())
        raise compilation_error(1003, "42601", f"SQL text of {size} bytes exceeds the limit of {MAX_BYTES} bytes.")
    try:
        parsed = sqlglot.parse(text, read="snowflake")
    except ParseError as exc:
        raise syntax_error(exc) from None
    statements = [s for s in parsed if s is not None and not isinstance(s, exp.Semicolon)]
    if not statements:
        raise compilation_error(900, "42601", "Empty SQL statement.")
    first = statements[0]
    if isinstance(first, exp.Alias) and first.sql().upper() == "START AS TRANSACTION":
        return exp.Transaction()
    if len(statements) > 1:
        count = len(statements)
        raise error(8, "0A000", f"Actual statement count {count} did not match the desired statement count 1.")
    return first
