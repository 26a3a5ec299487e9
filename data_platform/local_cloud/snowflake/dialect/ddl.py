"""CREATE's trees: comments and constraints, which DuckDB declares differently. `engine.ddl` runs them."""

from __future__ import annotations

from sqlglot import Expr, exp


def is_temporary(create: Expr) -> bool:
    properties = create.args.get("properties")
    return isinstance(create, exp.Create) and bool(properties and properties.find(exp.TemporaryProperty))


def column_of(table: exp.Table, name: Expr) -> exp.Column:
    """The column `name` of `table`, qualified as the table is."""
    parts = dict(zip(("table", "db", "catalog"), (p.copy() for p in reversed(table.parts)), strict=False))
    return exp.Column(this=name.copy(), **parts)


def take_comments(create: exp.Create, table: exp.Table) -> list[exp.Comment]:
    """Remove the comments of a CREATE statement and return them as statements of their own."""
    kind = str(create.args["kind"]).upper()
    found: list[exp.Comment] = []
    for schema_comment in list(create.find_all(exp.SchemaCommentProperty)):
        found.append(exp.Comment(this=table.copy(), kind=kind, expression=schema_comment.this.copy()))
        schema_comment.pop()
    for constraint in list(create.find_all(exp.CommentColumnConstraint)):
        definition = constraint.find_ancestor(exp.ColumnDef)
        name = definition.this if definition is not None else None
        if name is not None:
            column = column_of(table, name)
            found.append(exp.Comment(this=column, kind="COLUMN", expression=constraint.this.copy()))
        holder = constraint.parent
        (holder if isinstance(holder, exp.ColumnConstraint) else constraint).pop()
    return found


def take_constraints(target: Expr) -> None:
    """Keep NOT NULL and defaults; a primary key's columns become NOT NULL, as on Snowflake."""
    if not isinstance(target, exp.Schema):
        return
    keys: set[str] = set()
    for node in list(target.expressions):
        if isinstance(node, exp.ColumnDef):
            kept = []
            for constraint in node.args.get("constraints") or []:
                if isinstance(constraint.kind, exp.PrimaryKeyColumnConstraint):
                    keys.add(node.name.upper())
                elif isinstance(
                    constraint.kind, (exp.AutoIncrementColumnConstraint, exp.GeneratedAsIdentityColumnConstraint)
                ):
                    raise NotImplementedError("AUTOINCREMENT and IDENTITY")
                elif isinstance(constraint.kind, (exp.NotNullColumnConstraint, exp.DefaultColumnConstraint)):
                    kept.append(constraint)
            node.set("constraints", kept)
        elif isinstance(node, (exp.Constraint, exp.PrimaryKey, exp.UniqueColumnConstraint, exp.ForeignKey)):
            primary = node if isinstance(node, exp.PrimaryKey) else node.find(exp.PrimaryKey)
            if primary is not None:
                keys |= {i.name.upper() for i in primary.find_all(exp.Identifier)}
            node.pop()
    for node in target.expressions:
        is_key = isinstance(node, exp.ColumnDef) and node.name.upper() in keys
        if is_key and not node.find(exp.NotNullColumnConstraint):
            node.append("constraints", exp.ColumnConstraint(kind=exp.NotNullColumnConstraint()))
