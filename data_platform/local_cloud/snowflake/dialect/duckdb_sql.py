"""Pieces of DuckDB's SQL that several modules write: quoted names, text literals, calls of this package's macros."""

from __future__ import annotations

from fakesnow.instance import GLOBAL_DATABASE_NAME
from sqlglot import Expr, exp

MAIN = f"{GLOBAL_DATABASE_NAME}.main"
"""Where this package's macros live: in the database that spans all others."""

INFORMATION_SCHEMA = f"{GLOBAL_DATABASE_NAME}._fs_information_schema"


def call(macro: str, *arguments: Expr) -> exp.Anonymous:
    """A call of one of this package's macros."""
    return exp.Anonymous(this=f"{MAIN}.{macro}", expressions=list(arguments))


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
