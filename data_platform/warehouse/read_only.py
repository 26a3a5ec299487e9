"""Tells a query that only reads from any other statement, by its text.

Snowflake has no read-only session. A statement is taken if it is one SELECT (with CTEs and set operations) that writes
nowhere and calls nothing that could: no `SYSTEM$` function, no sequence's NEXTVAL, and in `TABLE(...)` no function but
Snowflake's own readers, as a stored procedure may be called there. Elsewhere a query calls functions, which can't write
(https://docs.snowflake.com/en/developer-guide/stored-procedures-vs-udfs).
"""

from __future__ import annotations

import logging

_TABLE_FUNCTIONS = frozenset(("FLATTEN", "GENERATOR", "RESULT_SCAN", "SPLIT_TO_TABLE"))


class NotReadOnly(Exception):
    """The statement isn't one that only reads. The message says why."""


def require_read_only(text: str) -> None:
    """Raises NotReadOnly unless the text is one query that only reads."""
    from sqlglot import ParseError, exp, parse

    logging.getLogger("sqlglot").setLevel(logging.ERROR)  # it warns of what it reads as a command
    try:
        statements = [tree for tree in parse(text, read="snowflake") if tree is not None]
    except ParseError as error:
        raise NotReadOnly(f"not a query that can be checked: {str(error).splitlines()[0]}") from None
    if len(statements) != 1 or not isinstance(statements[0], exp.Query):
        raise NotReadOnly("expected one SELECT; this command only reads")
    (query,) = statements
    writes = (exp.DML, exp.DDL, exp.Command, exp.Into, exp.Copy, exp.Merge)
    if any(isinstance(node, writes) and not isinstance(node, exp.Query) for node in query.walk()):
        raise NotReadOnly("expected one SELECT that writes nothing; this command only reads")
    for function in query.find_all(exp.Anonymous):
        name = function.name.upper()
        if name.startswith("SYSTEM$"):
            raise NotReadOnly(f"{name} may change something; this command only reads")
        if function.find_ancestor(exp.TableFromRows, exp.Lateral) and name not in _TABLE_FUNCTIONS:
            raise NotReadOnly(f"TABLE({name}(...)) may call a procedure, which may write; this command only reads")
    for column in query.find_all(exp.Column):
        if column.name.upper() == "NEXTVAL":
            raise NotReadOnly("NEXTVAL changes its sequence; this command only reads")
