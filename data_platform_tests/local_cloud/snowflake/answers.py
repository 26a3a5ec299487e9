"""Short ways to ask the stand-in and to catch its refusals."""

from __future__ import annotations

from typing import Any

import pytest
from snowflake.connector.cursor import SnowflakeCursor
from snowflake.connector.errors import Error


def rows(cursor: SnowflakeCursor, query: str, params: Any = None) -> list[Any]:
    """All rows of `query`."""
    cursor.execute(query, params)
    return list(cursor.fetchall())


def one(cursor: SnowflakeCursor, query: str, params: Any = None) -> Any:
    """The only row of `query`; its only value if it has one column."""
    (row,) = rows(cursor, query, params)
    return row[0] if len(row) == 1 else row


def refusal(cursor: SnowflakeCursor, statement: str) -> Error:
    """The error that `statement` is refused with."""
    with pytest.raises(Error) as caught:
        cursor.execute(statement)
    return caught.value
