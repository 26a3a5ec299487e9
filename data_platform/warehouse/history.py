"""Load mode `history`: a table of versions, which follow from the feed's snapshots. `load.py` calls it in its
transaction.

Each snapshot, in the order of their times, ends the versions whose rows have changed or are gone, and begins those of
rows that are new or have changed; it writes no other row. A snapshot with rejects isn't known to be complete: what it
lacks, it doesn't end.

For a snapshot that comes late, or is taken out, the table is first taken back to the time before it. Then that
snapshot and the later ones are applied again, from their extracts in the lake.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from data_platform.contract import Column, quoted
from data_platform.contract.columns import DELETED, FIRST_SEEN, LAST_SEEN, VALID_FROM, VALID_TO
from data_platform.feeds.spec import FeedSpec
from data_platform.lake.manifest import ExtractKey, Manifest
from data_platform.warehouse import load_rules
from data_platform.warehouse.copy import Execute, copy_rows
from data_platform.warehouse.table import TableRef, literal

if TYPE_CHECKING:
    from data_platform.lake.extracts import Lake
    from data_platform.warehouse.ledger import InTable

_FROM, _TO, _FIRST, _LAST, _DELETED = map(quoted, (VALID_FROM, VALID_TO, FIRST_SEEN, LAST_SEEN, DELETED))


class Snapshot(NamedTuple):
    """The rows of a table at one time (UTC): one extract, or some that are parts of it."""

    at: datetime
    extracts: tuple[Manifest, ...]

    @property
    def complete(self) -> bool:
        """Whether a row that it lacks wasn't there."""
        return not any(manifest.rejects for manifest in self.extracts)


class Applied(NamedTuple):
    """`opened`: the versions that began. `repeated_keys`: how many keys more than one row of a new snapshot has."""

    opened: int = 0
    repeated_keys: int = 0


def snapshots_of(manifests: Iterable[Manifest]) -> list[Snapshot]:
    """The snapshots that these extracts are, the earliest first."""
    by_time: dict[datetime, list[Manifest]] = {}
    for manifest in manifests:
        by_time.setdefault(manifest.effective_at or manifest.started_at, []).append(manifest)
    return [Snapshot(at, tuple(by_time[at])) for at in sorted(by_time)]


def load_snapshots(
    execute: Execute,
    lake: Lake,
    table: TableRef,
    staging: TableRef,
    feed: FeedSpec,
    new: Sequence[Manifest],
    gone: Collection[str],
    there: Mapping[str, InTable],
) -> Applied:
    """Makes the table hold the versions of its snapshots with `new`, without `gone`, in the open transaction. `there`:
    the extracts of which it holds them now. If `new` has one of those, its rows are loaded once more: then the table is
    made from its beginning. Raises LoadRefused and RowCountMismatch."""
    ids = {manifest.extract_id for manifest in new}
    stay: dict[datetime, list[ExtractKey]] = {}
    for extract_id, found in there.items():
        if extract_id not in ids and extract_id not in gone and found.effective_at is not None:
            key = ExtractKey(feed.source, feed.table, extract_id, found.partition)
            stay.setdefault(found.effective_at, []).append(key)

    def read(at: datetime) -> list[Manifest]:
        return [replace(load_rules.require_manifest(lake, key), effective_at=at) for key in stay[at]]

    changed = [snapshot.at for snapshot in snapshots_of(new)]
    changed += [at for each in gone if each in there and (at := there[each].effective_at) is not None]
    known = [found.effective_at for found in there.values() if found.effective_at is not None]
    if not changed:
        return Applied()
    first = since = min([*changed, *(known if ids & there.keys() else ())])
    again: list[Manifest] = []
    if known and max(known) >= first:
        for at in sorted((at for at in stay if at < first), reverse=True):
            extracts = read(at)
            if Snapshot(at, tuple(extracts)).complete:
                break
            # What an incomplete snapshot shows isn't all in the table: which rows were seen last in it.
            again += extracts
            since = at
        again += [manifest for at in stay if at >= first for manifest in read(at)]
        load_rules.same_types(feed, again)
        _take_back(execute, table, since)
    before = max((at for at in stay if at < since), default=None)
    return apply_snapshots(execute, table, staging, feed, snapshots_of([*new, *again]), before=before, new=ids)


def apply_snapshots(
    execute: Execute,
    table: TableRef,
    staging: TableRef,
    feed: FeedSpec,
    snapshots: Sequence[Snapshot],
    *,
    before: datetime | None,
    new: Collection[str],
) -> Applied:
    """Applies these snapshots, which are later than all that the table has; the last of those was of `before`. `new`:
    the ids of the extracts whose repeated keys are counted. `staging`: an empty table of the extracts' columns."""
    opened = repeated = 0
    for snapshot in snapshots:
        execute(f"DELETE FROM {staging.sql}")
        copy_rows(execute, staging, feed.extract_columns, snapshot.extracts)
        twice = _count_repeated_keys(execute, staging, feed)
        rows = _last_of_each_key(staging, feed) if twice else staging.sql
        if before is not None:
            _end_versions(execute, table, rows, feed, snapshot, before)
        opened += _begin_versions(execute, table, rows, feed, snapshot.at)
        repeated += twice if any(manifest.extract_id in new for manifest in snapshot.extracts) else 0
        before = snapshot.at
    return Applied(opened, repeated)


def _take_back(execute: Execute, table: TableRef, since: datetime) -> None:
    """Makes the table hold what the snapshots before `since` made; the last of them must be complete."""
    time = _time(since)
    execute(f"DELETE FROM {table.sql} WHERE {_FROM} >= {time}")
    execute(
        f"UPDATE {table.sql} SET {_TO} = NULL, {_LAST} = NULL, {_DELETED} = FALSE"
        f" WHERE {_TO} >= {time} OR ({_TO} IS NULL AND {_LAST} IS NOT NULL)"
    )


def _count_repeated_keys(execute: Execute, staging: TableRef, feed: FeedSpec) -> int:
    keys = ", ".join(quoted(name) for name in feed.contract.key)
    cursor = execute(
        f"SELECT COUNT(*) FROM (SELECT {keys} FROM {staging.sql} GROUP BY {keys} HAVING COUNT(*) > 1) AS REPEATED"
    )
    ((count,),) = cursor.fetchall()
    return int(count)


def _last_of_each_key(staging: TableRef, feed: FeedSpec) -> str:
    """SQL of one row of each key: the last record, where the feed's records have an order; otherwise by their values,
    so that each snapshot with these rows gives the same one."""
    keys = ", ".join(quoted(name) for name in feed.contract.key)
    order = [f"{quoted(feed.order_column)} DESC"] if feed.order_column is not None else []
    order += [_comparable(column, column.snowflake_name) for column in _values(feed)]
    return (
        f"(SELECT * FROM {staging.sql}"
        f" QUALIFY ROW_NUMBER() OVER (PARTITION BY {keys} ORDER BY {', '.join(order) or keys}) = 1)"
    )


def _end_versions(
    execute: Execute, table: TableRef, rows: str, feed: FeedSpec, snapshot: Snapshot, before: datetime
) -> None:
    """Ends current versions, and notes of others whether this snapshot shows them, where that isn't so of the one
    before."""
    keys = [quoted(name) for name in feed.contract.key]
    different = " OR ".join(
        f"{_comparable(column, f'OLD.{column.snowflake_name}')}"
        f" IS DISTINCT FROM {_comparable(column, f'NEW.{column.snowflake_name}')}"
        for column in _values(feed)
    )
    ends, not_shown = ("(_MISSING OR _DIFFERS)", "FALSE") if snapshot.complete else ("_DIFFERS", "_MISSING")
    compared = (
        f"SELECT {', '.join(f'OLD.{key}' for key in keys)}, OLD.{_LAST}, NEW.{keys[0]} IS NULL AS _MISSING,"
        f" NEW.{keys[0]} IS NOT NULL AND ({different or 'FALSE'}) AS _DIFFERS"
        f" FROM {table.sql} AS OLD LEFT JOIN {rows} AS NEW ON {_same_key(keys, 'OLD', 'NEW')} WHERE OLD.{_TO} IS NULL"
    )
    execute(
        f"MERGE INTO {table.sql} AS TARGET USING (SELECT {', '.join(keys)}, _MISSING AND {ends} AS _IS_GONE,"
        f" IFF({ends}, {_time(snapshot.at)}, NULL) AS _ENDS_AT,"
        f" IFF({ends} OR _MISSING, COALESCE({_LAST}, {_time(before)}), NULL) AS _SEEN_AT"
        f" FROM ({compared}) AS COMPARED"
        f" WHERE {ends} OR ({not_shown} AND {_LAST} IS NULL) OR (NOT _MISSING AND {_LAST} IS NOT NULL)) AS CHANGED"
        f" ON {_same_key(keys, 'TARGET', 'CHANGED')} AND TARGET.{_TO} IS NULL"
        f" WHEN MATCHED THEN UPDATE SET {_TO} = CHANGED._ENDS_AT, {_LAST} = CHANGED._SEEN_AT,"
        f" {_DELETED} = CHANGED._IS_GONE"
    )


def _begin_versions(execute: Execute, table: TableRef, rows: str, feed: FeedSpec, at: datetime) -> int:
    """Begins a version of each row that has no current one. Returns their number."""
    keys = [quoted(name) for name in feed.contract.key]
    names = [column.snowflake_name for column in feed.extract_columns]
    listed = ", ".join(keys)
    cursor = execute(
        f"INSERT INTO {table.sql} ({', '.join(names)}, {_FROM}, {_FIRST}, {_DELETED})"
        f" SELECT {', '.join(f'NEW.{name}' for name in names)}, {_time(at)}, COALESCE(BEFORE._SEEN_AT, {_time(at)}),"
        f" FALSE FROM {rows} AS NEW LEFT JOIN {table.sql} AS OLD"
        f" ON {_same_key(keys, 'NEW', 'OLD')} AND OLD.{_TO} IS NULL"
        f" LEFT JOIN (SELECT {listed}, MIN({_FIRST}) AS _SEEN_AT FROM {table.sql} GROUP BY {listed}) AS BEFORE"
        f" ON {_same_key(keys, 'NEW', 'BEFORE')} WHERE OLD.{keys[0]} IS NULL"
    )
    return int(cursor.rowcount or 0)


def _values(feed: FeedSpec) -> list[Column]:
    """The columns in which versions differ."""
    return [column for column in feed.contract.columns if column.name not in feed.contract.key]


def _comparable(column: Column, value: str) -> str:
    """SQL of a value that IS DISTINCT FROM and ORDER BY take: a GEOMETRY is none
    (https://docs.snowflake.com/en/sql-reference/data-types-geospatial), and a VARIANT is best compared as text."""
    if column.logical.name == "geometry":
        return f"ST_ASWKB({value})"
    return f"TO_JSON({value})" if column.logical.name == "json" else value


def _same_key(keys: Sequence[str], left: str, right: str) -> str:
    return " AND ".join(f"{left}.{key} = {right}.{key}" for key in keys)


def _time(at: datetime) -> str:
    return f"{literal(at.isoformat())}::TIMESTAMP_TZ"
