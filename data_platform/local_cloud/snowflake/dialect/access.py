"""Statements about access and about the account, which change nothing here: one user owns everything."""

from __future__ import annotations

import re

from sqlglot import Expr, exp

_ACCOUNT_OBJECTS = {
    "ROLE", "DATABASE ROLE", "WAREHOUSE", "STORAGE INTEGRATION", "INTEGRATION", "NOTIFICATION INTEGRATION", "USER",
    "NETWORK POLICY", "NETWORK RULE", "RESOURCE MONITOR", "AUTHENTICATION POLICY", "TAG",
}  # fmt: skip
_ACCOUNT_STATEMENT = re.compile(
    r"^\s*(?:OR\s+REPLACE\s+)?(?:DATABASE\s+ROLE|ROLE|WAREHOUSE|USER|INTEGRATION|STORAGE\s+INTEGRATION|NETWORK\s+\w+|"
    r"RESOURCE\s+MONITOR|ACCOUNT|AUTHENTICATION\s+POLICY|DATABASE\s+\S+\s+SET|SCHEMA\s+\S+\s+SET)\b",
    re.IGNORECASE,
)


def changes_nothing_here(expression: Expr) -> bool:
    """Grants, roles, users, warehouses, integrations: accepted, because one user owns everything here."""
    if isinstance(expression, (exp.Grant, exp.Revoke)):
        return True
    kind = str(expression.args.get("kind") or "").upper()
    if isinstance(expression, (exp.Create, exp.Drop, exp.Alter)):
        return kind in _ACCOUNT_OBJECTS
    if isinstance(expression, exp.Command):
        verb = str(expression.this).upper()
        if verb in ("GRANT", "REVOKE"):
            return True
        return verb in ("CREATE", "ALTER", "DROP") and bool(_ACCOUNT_STATEMENT.match(str(expression.expression or "")))
    return False
