"""CREATE, ALTER, DROP and COMMENT of tables and views, and the statements about access that change nothing here.

Constraints other than NOT NULL are declared but not enforced on Snowflake
(https://docs.snowflake.com/en/sql-reference/constraints-overview), so they do not reach DuckDB.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import sqlglot
from fakesnow.transforms import create_table_autoincrement
from sqlglot import Expr, exp

from data_platform.local_cloud.snowflake.errors import compilation_error, error
from data_platform.local_cloud.snowflake.temporary import is_temporary, table_key, temporary_name

if TYPE_CHECKING:
    from data_platform.local_cloud.snowflake.session import Session

_ACCOUNT_OBJECTS = {
    "ROLE", "DATABASE ROLE", "WAREHOUSE", "STORAGE INTEGRATION", "INTEGRATION", "NOTIFICATION INTEGRATION", "USER",
    "NETWORK POLICY", "NETWORK RULE", "RESOURCE MONITOR", "AUTHENTICATION POLICY", "TAG",
}  # fmt: skip
_ACCOUNT_STATEMENT = re.compile(
    r"^\s*(?:OR\s+REPLACE\s+)?(?:DATABASE\s+ROLE|ROLE|WAREHOUSE|USER|INTEGRATION|STORAGE\s+INTEGRATION|NETWORK\s+\w+|"
    r"RESOURCE\s+MONITOR|ACCOUNT|AUTHENTICATION\s+POLICY|DATABASE\s+\S+\s+SET|SCHEMA\s+\S+\s+SET)\b",
    re.IGNORECASE,
)
_MULTIPLE = re.compile(r"^\s*(TABLE|VIEW)\s+(IF\s+EXISTS\s+)?(\S+)\s+(?:ALTER|MODIFY)\s+(?:COLUMN\s+)?(.*)$", re.I | re.S)


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


def split_alter_command(expression: Expr) -> list[Expr]:
    """`ALTER TABLE t ALTER a …, b …`, which sqlglot keeps as text, as one tree a column."""
    if not isinstance(expression, exp.Command) or str(expression.this).upper() != "ALTER":
        return [expression]
    text = str(expression.expression or "")
    if not (match := _MULTIPLE.match(text)):
        return [expression]
    kind, _, table, rest = match.groups()
    actions, depth, start = [], 0, 0
    tokens = sqlglot.tokenize(rest, read="snowflake")
    for token in tokens:
        depth += {"(": 1, ")": -1}.get(token.text, 0)
        if token.text == "," and depth == 0:
            actions.append(rest[start : token.start])
            start = token.end + 1
    actions.append(rest[start:].rstrip().rstrip(";"))
    cleaned = (re.sub(r"^\s*(?:ALTER|MODIFY)?\s*(?:COLUMN\s+)?", "", a, flags=re.I) for a in actions)
    parsed: list[Expr] = []
    for action in cleaned:
        if comment := re.fullmatch(r"(\S+)\s+COMMENT\s+(.*)", action.strip(), re.I | re.S):
            text = sqlglot.parse_one(comment[2], read="snowflake").name
            parsed.append(_comment_on_column(f"{table}.{comment[1]}", text))
        else:
            parsed.append(sqlglot.parse_one(f"ALTER {kind} {table} ALTER COLUMN {action}", read="snowflake"))
    return parsed


def _comment_on_column(column: str, text: str) -> exp.Comment:
    return exp.Comment(this=exp.to_column(column, dialect="snowflake"), kind="COLUMN", expression=exp.Literal.string(text))


class Definition:
    """One CREATE, ALTER, DROP or COMMENT of a table or view, run as the DuckDB statements that mean the same."""

    def __init__(self, session: Session, transform: Callable[[Expr], Expr]) -> None:
        self._session = session
        self._transform = transform
        self._duck = session.duck

    def run(self, expression: Expr) -> str | None:
        """Run it and return Snowflake's message, or None where this class does not know the statement."""
        kind = str(expression.args.get("kind") or "").upper()
        if isinstance(expression, exp.Create) and kind in ("TABLE", "VIEW"):
            return self._create(expression, kind)
        if isinstance(expression, exp.Drop) and kind in ("TABLE", "VIEW"):
            return self._drop(expression, kind)
        if isinstance(expression, exp.Alter) and kind in ("TABLE", "VIEW"):
            return self._alter(expression, kind)
        if isinstance(expression, exp.Comment):
            return self._comment(expression)
        return None

    def _create(self, create: exp.Create, kind: str) -> str | None:
        target = create.this
        table = target.this if isinstance(target, exp.Schema) else target
        if not isinstance(table, exp.Table):
            return None
        key = table_key(self._session, table)
        comments = _take_comments(create, table)
        temporary = is_temporary(create)
        like = create.find(exp.LikeProperty)
        clone = create.args.get("clone")
        if like is not None or clone is not None:
            source = like.this if like is not None else clone.this
            create.set("clone", None)
            create.set("expression", exp.select("*").from_(source.copy()))
            if like is not None:
                create.set("expression", create.expression.limit(0))
        create.set("properties", exp.Properties(expressions=[exp.TemporaryProperty()]) if temporary else None)
        _take_constraints(target)
        if isinstance(target, exp.Schema) and not target.expressions:
            create.set("this", table)
        exists, replace = create.args.get("exists"), create.args.get("replace")
        if temporary:
            if exists and key in self._session.temporary:
                return f"{key[2]} already exists, statement succeeded."
            self._session.temporary[key] = temporary_name(key)
        elif key in self._session.temporary and replace:
            del self._session.temporary[key]
        known = exists and self._exists(key)
        try:
            self._atomically(self._exploded(create))
        except Exception:
            if temporary:
                self._session.temporary.pop(key, None)
            raise
        if known:
            return f"{key[2]} already exists, statement succeeded."
        for comment in [] if temporary else comments:
            self._duck.execute(self._transform(comment).sql(dialect="duckdb"))
        if not temporary and kind == "TABLE":
            self._session.instance.times.note_created(key)
            self._forget_loads(key)
        return f"{kind.title()} {key[2]} successfully created."

    def _exploded(self, create: exp.Create) -> list[Expr]:
        """The statements that one CREATE is: a sequence for an identity, an INSERT for columns AS SELECT."""
        definition = create.this
        if create.expression is not None and isinstance(definition, exp.Schema) and definition.expressions:
            if isinstance(definition.expressions[0], exp.ColumnDef) and definition.expressions[0].kind is not None:
                insert = exp.Insert(this=definition.this.copy(), expression=create.expression.copy())
                create.set("expression", None)
                return [*create_table_autoincrement(create), insert]
        return list(create_table_autoincrement(create))

    def _atomically(self, statements: list[Expr]) -> None:
        """Run statements that are one on Snowflake."""
        several = len(statements) > 1
        if several:
            self._duck.execute("BEGIN TRANSACTION")
        try:
            for statement in statements:
                self._duck.execute(self._transform(statement).sql(dialect="duckdb"))
            if several:
                self._duck.execute("COMMIT")
        except Exception:
            if several:
                self._duck.execute("ROLLBACK")
            raise

    def _exists(self, key: tuple[str, str, str]) -> bool:
        found = self._duck.execute(
            "SELECT count(*) FROM duckdb_tables() WHERE database_name = ? AND schema_name = ? AND table_name = ?", key
        ).fetchall()
        return bool(found[0][0])

    def _forget_loads(self, key: tuple[str, str, str]) -> None:
        """A new table has no load history."""
        history = f'"{key[0]}"._fs_information_schema._fs_load_history'
        where = "WHERE schema_name = ? AND table_name = ?"
        if self._duck.execute(f"SELECT 1 FROM {history} {where} LIMIT 1", key[1:]).fetchall():
            self._duck.execute(f"DELETE FROM {history} {where}", key[1:])

    def _drop(self, drop: exp.Drop, kind: str) -> str | None:
        tables = drop.args.get("tables") or drop.expressions or [drop.this]
        table = drop.this if isinstance(drop.this, exp.Table) else tables[0]
        key = table_key(self._session, table)
        exists = drop.args.get("exists")
        drop.set("cascade", False)
        drop.set("constraints", False)
        known = key in self._session.temporary or self._exists(key) or kind == "VIEW"
        self._duck.execute(self._transform(drop).sql(dialect="duckdb"))
        self._session.temporary.pop(key, None)
        if exists and not known:
            return f"Drop statement executed successfully ({key[2]} already dropped)."
        return f"{key[2]} successfully dropped."

    def _comment(self, comment: exp.Comment) -> str | None:
        kind = str(comment.args.get("kind")).upper()
        if kind not in ("TABLE", "VIEW", "COLUMN", "SCHEMA", "DATABASE"):
            return "Statement executed successfully."
        if kind in ("SCHEMA", "DATABASE"):
            return "Statement executed successfully."
        comment.set("exists", None)
        self._duck.execute(self._transform(comment).sql(dialect="duckdb"))
        return "Statement executed successfully."

    def _alter(self, alter: exp.Alter, kind: str) -> str:
        table = alter.this
        for action in alter.args.get("actions") or []:
            self._action(alter, table, action, kind)
        self._session.instance.times.note_altered(table_key(self._session, table))
        return "Statement executed successfully."

    def _action(self, alter: exp.Alter, table: exp.Table, action: Expr, kind: str) -> None:
        if isinstance(action, exp.SwapTable):
            self._swap(table, action.this)
        elif isinstance(action, (exp.ColumnDef, exp.Drop, exp.RenameColumn)):
            self._change_columns(alter, table, action)
        elif isinstance(action, exp.AlterRename):
            new = action.this
            if table_key(self._session, table)[:2] != table_key(self._session, _qualified_like(new, table))[:2]:
                raise NotImplementedError("ALTER TABLE … RENAME TO another schema")
            self._execute(alter, table, exp.AlterRename(this=exp.Table(this=new.this.copy())))
        elif isinstance(action, exp.AlterColumn):
            self._alter_column(alter, table, action)
        elif isinstance(action, exp.AlterSet) and (comment := action.find(exp.SchemaCommentProperty)):
            self._comment(exp.Comment(this=table.copy(), kind=kind, expression=comment.this.copy()))
        # clustering keys, constraints, retention and the like have no counterpart: accepted

    def _change_columns(self, alter: exp.Alter, table: exp.Table, action: Expr) -> None:
        if isinstance(action, exp.Drop):
            columns = [action.this, *action.expressions] if action.this else action.expressions
            for column in columns:
                one = exp.Drop(this=_column(column), kind="COLUMN", exists=action.args.get("exists"))
                self._execute(alter, table, one)
            return
        if isinstance(action, exp.ColumnDef):
            not_null = action.find(exp.NotNullColumnConstraint) is not None
            kept = [c for c in action.args.get("constraints") or [] if isinstance(c.kind, exp.DefaultColumnConstraint)]
            action = action.copy()
            action.set("constraints", [c.copy() for c in kept])
            self._execute(alter, table, action)
            if not_null:
                self._execute(alter, table, exp.AlterColumn(this=exp.column(action.this.copy()), allow_null=False))
            return
        self._execute(alter, table, action.copy())

    def _alter_column(self, alter: exp.Alter, table: exp.Table, action: exp.AlterColumn) -> None:
        if (text := action.args.get("comment")) is not None:
            column = exp.column(action.this.name, *reversed([p.name for p in table.parts]), quoted=True)
            column = exp.column(_column(action.this).this.copy(), *[p.copy() for p in reversed(table.parts)])
            self._comment(exp.Comment(this=column, kind="COLUMN", expression=text.copy()))
            return
        if (new_type := action.args.get("dtype")) is not None:
            self._check_widening(table, action.this.name, action.this, new_type)
        action = action.copy()
        action.set("this", _column(action.this))
        self._execute(alter, table, action)

    def _check_widening(self, table: exp.Table, name: str, column: Expr, new_type: exp.DataType) -> None:
        """Snowflake changes a type in place only where no value can be lost.

        See https://docs.snowflake.com/en/sql-reference/sql/alter-table-column.
        """
        key = table_key(self._session, table)
        identifier = column.this if isinstance(column, exp.Column) else column
        wanted = name if identifier.args.get("quoted") else name.upper()
        found = self._duck.execute(
            "SELECT data_type FROM duckdb_columns() WHERE database_name = ? AND schema_name = ? AND table_name = ?"
            " AND column_name = ?",
            [*key, wanted],
        ).fetchall()
        if not found:
            raise compilation_error(904, "42000", f"invalid identifier '{wanted}'")
        cast = self._transform(exp.Cast(this=exp.null(), to=new_type.copy()))
        target = str(self._duck.execute(f"SELECT typeof({cast.sql(dialect='duckdb')})").fetchall()[0][0])
        if not is_widening(str(found[0][0]), target):
            raise compilation_error(
                2108, "22000", f"cannot change column {wanted} from type {found[0][0]} to {new_type.sql('snowflake')}"
            )

    def _swap(self, one: exp.Table, other: exp.Table) -> None:
        """SWAP WITH, as three renames in one transaction."""
        first, second = table_key(self._session, one), table_key(self._session, _qualified_like(other, one))
        if first[:2] != second[:2]:
            raise NotImplementedError("ALTER TABLE … SWAP WITH a table of another schema")
        for key in (first, second):
            if not self._exists(key):
                raise compilation_error(2003, "42S02", f"Table '{'.'.join(key)}' does not exist or not authorized.")
        schema = f'"{first[0]}"."{first[1]}"'
        self._duck.execute("BEGIN TRANSACTION")
        try:
            for old, new in ((first[2], "_swapping"), (second[2], first[2]), ("_swapping", second[2])):
                self._duck.execute(f'ALTER TABLE {schema}."{old}" RENAME TO "{new}"')
            self._duck.execute("COMMIT")
        except Exception:
            self._duck.execute("ROLLBACK")
            raise

    def _execute(self, alter: exp.Alter, table: exp.Table, action: Expr) -> None:
        statement = exp.Alter(
            this=table.copy(), kind=alter.args.get("kind"), exists=alter.args.get("exists"), actions=[action]
        )
        self._duck.execute(self._transform(statement).sql(dialect="duckdb"))


def is_widening(old: str, new: str) -> bool:
    """Whether every value of DuckDB's type `old` is one of `new` without a change, and Snowflake allows it in place."""
    if old == new:
        return True
    integers = {"TINYINT": (3, 0), "SMALLINT": (5, 0), "INTEGER": (10, 0), "BIGINT": (38, 0), "HUGEINT": (38, 0)}

    def number(name: str) -> tuple[int, int] | None:
        match = re.fullmatch(r"DECIMAL\((\d+),\s?(\d+)\)", name)
        return (int(match[1]), int(match[2])) if match else integers.get(name)

    before, after = number(old), number(new)
    # Snowflake raises a NUMBER's precision in place, and never changes its scale.
    return before is not None and after is not None and after[1] == before[1] and after[0] >= before[0]


def _column(node: Expr) -> exp.Column:
    return node.copy() if isinstance(node, exp.Column) else exp.column(node.copy())


def _qualified_like(table: exp.Table, model: exp.Table) -> exp.Table:
    """`table` with the schema and database of `model` where it names none."""
    table = table.copy()
    for part in ("db", "catalog"):
        if not table.args.get(part) and model.args.get(part):
            table.set(part, model.args[part].copy())
    return table


def _take_comments(create: exp.Create, table: exp.Table) -> list[exp.Comment]:
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
            column = exp.column(name.copy(), *[p.copy() for p in reversed(table.parts)])
            found.append(exp.Comment(this=column, kind="COLUMN", expression=constraint.this.copy()))
        holder = constraint.parent
        (holder if isinstance(holder, exp.ColumnConstraint) else constraint).pop()
    return found


def _take_constraints(target: Expr) -> None:
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
                    constraint.kind,
                    (
                        exp.NotNullColumnConstraint,
                        exp.DefaultColumnConstraint,
                        exp.AutoIncrementColumnConstraint,
                        exp.GeneratedAsIdentityColumnConstraint,
                    ),
                ):
                    kept.append(constraint)
            node.set("constraints", kept)
        elif isinstance(node, (exp.Constraint, exp.PrimaryKey, exp.UniqueColumnConstraint, exp.ForeignKey)):
            primary = node if isinstance(node, exp.PrimaryKey) else node.find(exp.PrimaryKey)
            if primary is not None:
                keys |= {i.name.upper() for i in primary.find_all(exp.Identifier)}
            node.pop()
    for node in target.expressions:
        if isinstance(node, exp.ColumnDef) and node.name.upper() in keys:
            if not node.find(exp.NotNullColumnConstraint):
                node.append("constraints", exp.ColumnConstraint(kind=exp.NotNullColumnConstraint()))


__all__ = ["Definition", "changes_nothing_here", "error", "is_widening", "split_alter_command"]
