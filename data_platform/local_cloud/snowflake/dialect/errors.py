"""Maps DuckDB's errors to the SQL errors that Snowflake's connector raises, with Snowflake's codes.

Any other error becomes the internal error 000603, never an HTTP 500, after which the connector would send the statement
again.
"""

from __future__ import annotations

import re

import duckdb
from snowflake.connector.errors import Error, OperationalError, ProgrammingError
from sqlglot.errors import ParseError

_COLUMN = re.compile(r'(?:Referenced column|Table "[^"]*" does not have a column named|column named?) "([^"]+)"')
_OURS = re.compile(r"(\d{6}) \((\w{5})\): (.*)", re.S)  # a macro's call of error()
_MISSING = re.compile(r"(Table|View|Schema|Sequence|Catalog|Type) with name \"?([\w$.]+)\"? does not exist", re.I)


def error(number: int, state: str, message: str) -> ProgrammingError:
    """A ProgrammingError as the connector raises it for Snowflake's answer `number (state): message`."""
    return ProgrammingError(msg=message, errno=number, sqlstate=state)


def compilation_error(number: int, state: str, message: str) -> ProgrammingError:
    """A ProgrammingError for an error that Snowflake finds while it compiles the statement."""
    return error(number, state, f"SQL compilation error:\n{message}")


def sql_error(exc: Exception) -> Error:
    """The error that Snowflake's connector would raise for `exc`, from DuckDB, sqlglot or this package."""
    if isinstance(exc, (ProgrammingError, OperationalError)) and not isinstance(exc.__cause__, duckdb.Error):
        return exc
    if isinstance(exc.__cause__, duckdb.Error):
        exc = exc.__cause__  # fakesnow wrapped it with a coarser code
    message = str(exc).split("\n\nLINE ")[0]
    if isinstance(exc, ParseError):
        return compilation_error(1003, "42000", str(exc).replace("\x1b[4m", "").replace("\x1b[0m", ""))
    if isinstance(exc, duckdb.ParserException):
        return compilation_error(1003, "42000", message)
    if isinstance(exc, NotImplementedError):
        return error(2, "0A000", f"Unsupported feature in the local stand-in for Snowflake: {message}")
    if isinstance(exc, duckdb.Error):
        return _duckdb_error(exc, message)
    return error(603, "XX000", f"SQL execution internal error: {type(exc).__name__}: {message}")


def _duckdb_error(exc: duckdb.Error, message: str) -> ProgrammingError:
    if isinstance(exc, duckdb.CatalogException):
        if "already exists" in message:
            return compilation_error(2002, "42710", message)
        if missing := _MISSING.search(message):
            kind, name = missing[1].title(), missing[2]
            kind = "Object" if kind in ("Table", "View") else kind
            return compilation_error(2003, "42S02", f"{kind} '{name}' does not exist or not authorized.\n{message}")
        return compilation_error(2140, "42601", message)
    if isinstance(exc, duckdb.BinderException):
        if "Duplicate struct entry name" in message or "Duplicate named argument" in message:
            return error(100103, "22000", message)
        if column := _COLUMN.search(message):
            return compilation_error(904, "42000", f"error line 1 at position 0\ninvalid identifier '{column[1]}'")
        return compilation_error(2043, "02000", message)
    if isinstance(exc, duckdb.ConstraintException):
        return error(100072, "22000", f"NULL result in a non-nullable column\n{message}")
    if isinstance(exc, duckdb.OutOfRangeException):
        return error(100039, "22003", f"Number out of representable range: {message}")
    if isinstance(exc, duckdb.ConversionException):
        if re.search(r"timestamp|date|time", message, re.IGNORECASE):
            return error(100035, "22007", message)
        if re.search(r"out of range|is too (large|big)|Could not cast value .* to DECIMAL", message):
            return error(100039, "22003", f"Number out of representable range: {message}")
        return error(100038, "22018", message)
    if isinstance(exc, duckdb.InvalidInputException) and (ours := _OURS.search(message)):
        return error(int(ours[1]), ours[2], ours[3])
    if isinstance(exc, duckdb.TransactionException):
        return error(625, "57014", message)
    if "Division by zero" in message:
        return error(100051, "22012", "Division by zero")
    if "cannot affect the same target row more than once" in message:
        return error(100090, "42P18", f"Duplicate row detected during DML action\n{message}")
    return error(603, "XX000", f"SQL execution internal error: {type(exc).__name__}: {message}")
