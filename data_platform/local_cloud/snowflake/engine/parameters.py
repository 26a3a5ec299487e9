"""Session parameters (ALTER SESSION) and functions of the session, such as CURRENT_ROLE()."""

from __future__ import annotations

from fakesnow.transforms import SERVER_VERSION
from sqlglot import Expr, exp

from data_platform.local_cloud.snowflake.engine.session import Session


def alter_session(session: Session, expression: Expr) -> bool:
    """Apply ALTER SESSION SET | UNSET. Returns whether the statement was one."""
    if not isinstance(expression, exp.Alter) or str(expression.args.get("kind")).upper() != "SESSION":
        return False
    change = expression.find(exp.AlterSession)
    for item in change.expressions if change is not None else []:
        assignment = item.this if isinstance(item, exp.SetItem) else item
        if change is not None and change.args.get("unset"):
            set_parameter(session, assignment.name, None)
        elif isinstance(assignment, exp.EQ):
            value = assignment.expression
            set_parameter(session, assignment.this.name, value.this if isinstance(value, exp.Boolean) else value.name)
    return True


def set_parameter(session: Session, name: str, value: str | bool | None) -> None:
    """Set one parameter; None restores its default."""
    name = name.upper()
    if value is None:
        session.context.parameters.pop(name, None)
    else:
        session.context.parameters[name] = value
    if name == "TIMEZONE":
        session.apply_time_zone()
    elif name == "AUTOCOMMIT":
        session.commit_transaction()
        session.autocommits = value is None or str(value).lower() == "true"


def session_functions(node: Expr, session: Session) -> Expr:
    """Replace CURRENT_ROLE() and the like by their values."""
    if isinstance(node, exp.CurrentUser):
        return exp.Literal.string(session.context.user)
    if not isinstance(node, (exp.Anonymous, exp.Func)):
        return node
    name = node.name.upper() if isinstance(node, exp.Anonymous) else node.sql_name().upper()
    context = session.context
    values: dict[str, str | None] = {
        "CURRENT_ROLE": context.role,
        "CURRENT_WAREHOUSE": context.warehouse,
        "CURRENT_ACCOUNT": context.account,
        "CURRENT_DATABASE": session.database,
        "CURRENT_SCHEMA": session.schema,
        "CURRENT_VERSION": SERVER_VERSION,
        "SYSTEM$CANCEL_ALL_QUERIES": "0 query(s) cancelled.",  # dbt, when it is interrupted
    }
    if name not in values:
        return node
    value = values[name]
    return exp.cast(exp.null(), "VARCHAR") if value is None else exp.Literal.string(value)
