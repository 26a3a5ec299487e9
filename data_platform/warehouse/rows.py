"""The ledger's records: inserted with few statements, typed columns and bound values; the latest of each id.

The ledger's tables only grow. A DELETE, UPDATE or MERGE would lock a table that all feeds share until the load's
COMMIT, and every other load would wait.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from data_platform.contract import quoted
from data_platform.warehouse.table import TableRef

if TYPE_CHECKING:
    from snowflake.connector.cursor import SnowflakeCursor

# A statement's text is limited to 1 MB (https://docs.snowflake.com/en/user-guide/query-size-limits), and escaping may
# double the rows' text.
_CHARACTERS_A_STATEMENT = 2**18


def insert_rows(
    cursor: SnowflakeCursor, table: TableRef, columns: Mapping[str, str], rows: Sequence[Sequence[Any]]
) -> None:
    """Inserts rows, whose values are in the order of `columns` ({name: type}). A VARIANT takes any JSON value.

    Binds the rows as one JSON array: Snowflake takes seconds to parse a VALUES list of thousands of constants.
    """
    names = ", ".join(quoted(name) for name in columns)
    values = ", ".join(_value(place, kind) for place, kind in enumerate(columns.values()))
    for chunk in _arrays(rows):
        cursor.execute(
            f"INSERT INTO {table.sql} ({names}) SELECT {values} FROM TABLE(FLATTEN(INPUT => PARSE_JSON(%s)))",
            [chunk],
        )


def latest_sql(table: TableRef, columns: Iterable[str], ids: Sequence[str], recorded_at: str) -> str:
    """SQL of the latest record of each id. `recorded_at`: the SQL of a record's time. A test of `ids`, on the outside,
    narrows what is read; any other is made when all records have been compared."""
    listed, key = (", ".join(quoted(name) for name in names) for names in (columns, ids))
    return (
        f"SELECT {listed} FROM {table.sql}"
        f" QUALIFY ROW_NUMBER() OVER (PARTITION BY {key} ORDER BY {recorded_at} DESC NULLS LAST) = 1"
    )


def time_of_record(earlier: Iterable[datetime | None]) -> datetime:
    """The time of a record that follows these: now, but later than theirs, as the clocks of two tasks may differ."""
    return max([datetime.now(UTC), *(time + timedelta(microseconds=1) for time in earlier if time is not None)])


def _arrays(rows: Sequence[Sequence[Any]]) -> Iterator[str]:
    """The rows as JSON arrays of a statement each."""
    texts: list[str] = []
    size = 0
    for row in rows:
        text = json.dumps(row, default=_text)
        if texts and size + len(text) > _CHARACTERS_A_STATEMENT:
            yield f"[{','.join(texts)}]"
            texts, size = [], 0
        texts.append(text)
        size += len(text)
    if texts:
        yield f"[{','.join(texts)}]"


def delete_rows(execute: Callable[..., Any], table: TableRef, column: str, values: Collection[str]) -> int:
    """Deletes the rows with these values in the column. Returns their number."""
    if not values:  # a DELETE makes other loads wait, even if it finds nothing
        return 0
    listed = sorted(values)
    return execute(f"DELETE FROM {table.sql} WHERE {quoted(column)} IN ({placeholders(listed)})", listed).rowcount or 0


def count_by(cursor: SnowflakeCursor, table: TableRef, column: str, values: Collection[str]) -> dict[str, int]:
    """{value: number of rows} for these values of the column; without those that no row has."""
    if not values:
        return {}
    name, listed = quoted(column), sorted(values)
    cursor.execute(
        f"SELECT {name}, COUNT(*) FROM {table.sql} WHERE {name} IN ({placeholders(listed)}) GROUP BY {name}", listed
    )
    return {value: int(rows) for value, rows in cursor.fetchall()}


def _value(place: int, kind: str) -> str:
    """The SQL of one value. A cast turns JSON's null into NULL; a VARIANT would keep it as JSON's null."""
    return f"STRIP_NULL_VALUE(VALUE[{place}])" if kind == "VARIANT" else f"VALUE[{place}]::{kind}"


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{value!r} can't be a value of a ledger row")


def placeholders(values: Sequence[Any]) -> str:
    """`%s, %s, …` for an IN list."""
    return ", ".join(["%s"] * len(values))
