"""Publishes a dataset: reads the mart, decides whether it is new, checks it, puts it, and accounts for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from data_platform.publish import ledger
from data_platform.publish.map import map_of
from data_platform.publish.rows import Rows, read_rows
from data_platform.publish.spec import Dataset
from data_platform.publish.target import GateFailed, Published, Stamp, Target

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection


@dataclass(frozen=True)
class Result:
    """What became of a publication. `unchanged`: the same version is published. `held`: a rollback took this version
    down, and the model must change before it is published again. `stamp`: of what is published now. `rows_before`: of
    what was published before; None if nothing was. `map`: an SVG of the dataset, or None without shapes."""

    outcome: Literal["published", "unchanged", "held"]
    stamp: Stamp
    rows_before: int | None
    map: str | None


def publish(
    connection: SnowflakeConnection,
    database: str,
    dataset: Dataset,
    target: Target,
    *,
    run_id: str,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Result:
    """Publishes the mart as it is, unless that version is published already. Can be repeated: a run that was killed
    leaves the old version or the new one, and the next run finishes what it began. Raises PublicationFailed."""
    with read_rows(connection, database, dataset, target.definition) as rows:
        there = target.current()
        drawn = map_of(rows)
        stamp = there.stamp if there else None
        if there is not None and stamp is not None:
            if stamp.fingerprint == rows.fingerprint:
                _record(connection, database, dataset, target, stamp, None)
                return Result("unchanged", stamp, there.rows, drawn)
            if stamp.withdrawn == rows.fingerprint:
                return Result("held", stamp, there.rows, drawn)
        _check_change(dataset, there, rows)
        made = Stamp(
            version=rows.fingerprint[:12],
            fingerprint=rows.fingerprint,
            rows=rows.number,
            published_at=now().isoformat(timespec="seconds"),
            source=dataset.publication.from_,
            query_id=rows.query_id,
            run_id=run_id,
        )
        target.put(rows, made)
        before = there.rows if there else None
        _record(connection, database, dataset, target, made, before)
        return Result("published", made, before, drawn)


def roll_back(connection: SnowflakeConnection, database: str, dataset: Dataset, target: Target, run_id: str) -> Stamp:
    """Publishes the version before again, and returns its stamp. The version that it takes down isn't published again
    until the model's rows change. Raises PublicationFailed."""
    stamp, gone = target.roll_back(run_id)
    with connection.cursor() as cursor:
        ledger.record(cursor, database, dataset.id, stamp, target.url, gone.rows, "rolled back")
    return stamp


def _record(
    connection: SnowflakeConnection, database: str, dataset: Dataset, target: Target, stamp: Stamp, before: int | None
) -> None:
    if stamp.withdrawn is not None:  # the rollback recorded it
        return
    with connection.cursor() as cursor:
        ledger.record(cursor, database, dataset.id, stamp, target.url, before, "published")


def _check_change(dataset: Dataset, there: Published | None, rows: Rows) -> None:
    if there is None or not there.rows:
        return
    change = 100 * abs(rows.number - there.rows) / there.rows
    allowed = dataset.publication.rows_may_change_by
    if change > allowed:
        raise GateFailed(
            f"{dataset.id}: {dataset.publication.from_} has {rows.number:,} rows, and {there.rows:,} are published: a"
            f" change of {change:.1f} %, and rows_may_change_by is {allowed:g}. The published version is as it was. See"
            " whether the mart is whole; if it is, raise rows_may_change_by for one run"
        )
