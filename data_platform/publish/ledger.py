"""The accounts of publications in PLATFORM.PUBLICATIONS. The target's stamp says what is published; this says what was.
Records are only added: `warehouse/rows.py` says why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from data_platform.contract import quoted
from data_platform.publish.target import Stamp
from data_platform.warehouse.platform import PUBLICATIONS_COLUMNS, publications
from data_platform.warehouse.rows import insert_rows

if TYPE_CHECKING:
    from snowflake.connector.cursor import SnowflakeCursor

Outcome = Literal["published", "rolled back"]


@dataclass(frozen=True)
class Record:
    """A version that was published. `dataset`: `<target>/<dataset>`. `rows_before`: those of the version before;
    None if there was none. `source` and `query_id`: the mart, and the query that read its state."""

    dataset: str
    outcome: Outcome
    version: str
    fingerprint: str
    rows_published: int
    rows_before: int | None
    source: str
    query_id: str
    run_id: str
    url: str
    published_at: datetime
    recorded_at: datetime


def record(
    cursor: SnowflakeCursor, database: str, dataset: str, stamp: Stamp, url: str, before: int | None, outcome: Outcome
) -> None:
    """Records a version, unless it is recorded: a run that was killed after it had published is repeated."""
    last = latest(cursor, database).get(dataset)
    if (
        last is not None
        and (last.fingerprint, last.outcome) == (stamp.fingerprint, outcome)
        and (last.published_at == datetime.fromisoformat(stamp.published_at))
    ):
        return
    row = [
        *(dataset, outcome, stamp.version, stamp.fingerprint, stamp.rows, before, stamp.source, stamp.query_id),
        *(stamp.run_id, url, stamp.published_at, datetime.now(UTC)),
    ]
    insert_rows(cursor, publications(database), PUBLICATIONS_COLUMNS, [row])


def latest(cursor: SnowflakeCursor, database: str) -> dict[str, Record]:
    """{dataset: its latest record}."""
    return {each.dataset: each for each in reversed(history(cursor, database))}


def history(cursor: SnowflakeCursor, database: str, dataset: str | None = None) -> list[Record]:
    """The records of a dataset, or of all, the latest first."""
    names = ", ".join(quoted(name) for name in PUBLICATIONS_COLUMNS)
    where, bound = (" WHERE DATASET = %s", [dataset]) if dataset is not None else ("", [])
    cursor.execute(f"SELECT {names} FROM {publications(database).sql}{where} ORDER BY RECORDED_AT DESC, DATASET", bound)
    return [Record(*row) for row in cursor.fetchall()]
