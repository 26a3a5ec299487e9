"""One transaction of the platform: its statements are tagged, and their query ids recorded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from data_platform.warehouse.refused_data import refuses_data

if TYPE_CHECKING:
    from snowflake.connector.cursor import SnowflakeCursor


@dataclass(slots=True)
class Transaction:
    """A cursor that tags its statements with a query tag, and records their query ids."""

    cursor: SnowflakeCursor
    query_tag: str | None
    query_ids: list[str] = field(default_factory=list)

    def execute(self, sql: str, bound: Sequence[object] | None = None) -> SnowflakeCursor:
        """Runs a statement. Returns the cursor."""
        # COPY casts instants to TIMESTAMP_TZ in the session's time zone: see `copy.py`.
        parameters = {"TIMEZONE": "UTC"} | ({"QUERY_TAG": self.query_tag} if self.query_tag else {})
        self.cursor.execute(sql, bound, _statement_params=parameters)
        self.query_ids.append(str(self.cursor.sfqid))
        return self.cursor


@contextmanager
def transaction(cursor: SnowflakeCursor, query_tag: str | None) -> Iterator[Transaction]:
    """Begins a transaction; commits it at the end of the block, or rolls it back if the block raises."""
    cursor.execute("BEGIN")
    try:
        yield Transaction(cursor, query_tag)
        cursor.execute("COMMIT")
    except BaseException as error:
        try:
            cursor.execute("ROLLBACK")
        except Exception:  # on a lost connection, Snowflake rolls back itself when the session ends
            if refuses_data(error):  # the caller would go on in this session, and within the open transaction
                raise
        raise
