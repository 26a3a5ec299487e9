"""Makes a feed's table anew beside the old one, from extracts, and swaps the two.

    CREATE OR REPLACE TABLE t__NEXT       by today's contract
    COPY INTO t__NEXT                     (modes `merge`, `history`: and MERGE) in one transaction; nobody waits for it
    UPDATE PLATFORM.LOAD_LOCK_nn          in a second session: from here on, the feed's loads wait
    SELECT LOADS                          if a load came in between, from the beginning
    BEGIN; INSERT INTO LOADS, ...; COMMIT the ledger has the new extracts in place of the old
    ALTER TABLE t SWAP WITH t__NEXT
    DROP TABLE t__NEXT; ROLLBACK          of the lock

Killed before COMMIT, nothing has happened: the table and its ledger are as before. Killed between COMMIT and SWAP, the
ledger has the new extracts and the table the old rows: if a column's type has changed, loads go on refusing; in any
case the accounts of `data-platform run` differ from the table. The same call makes it right: it builds the table from
what the ledger says, whatever the table holds. Killed after SWAP, only t__NEXT is left, which the next call replaces.
The ledger comes first because a table with new rows and the old ledger would look right, and lose or double rows when a
file is superseded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from data_platform.feeds.spec import FeedSpec
from data_platform.lake.manifest import Manifest
from data_platform.warehouse import ledger, load_rules, platform, table_rows
from data_platform.warehouse.copy import copy_rows
from data_platform.warehouse.describe import count_rows
from data_platform.warehouse.further_columns import with_further
from data_platform.warehouse.history import apply_snapshots, snapshots_of
from data_platform.warehouse.load import load_rejects, load_row
from data_platform.warehouse.load_lock import take_lock
from data_platform.warehouse.merge import loading_table, merge_rows
from data_platform.warehouse.policy import Decision, Policy
from data_platform.warehouse.rows import delete_rows, time_of_record
from data_platform.warehouse.schema import apply_schema, plan_changes, read_columns, table_body
from data_platform.warehouse.table import TableRef, raw_table
from data_platform.warehouse.transaction import transaction

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

EXTRACTS_A_STEP = 200
AGAIN = "re-extract-"
"""How the id of a run begins that reads a source again, and makes its table anew from that."""
_TRIES = 3


class RebuildOvertaken(Exception):
    """Loads kept coming while the table was made. Nothing has changed."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """The rows of the table, before and after, and the new rejects."""

    rows_before: int
    rows_after: int
    rejects: int


def rebuild_table(
    connect: Callable[[], SnowflakeConnection],
    database: str,
    feed: FeedSpec,
    policy: Policy,
    *,
    run_id: str,
    query_tag: str,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Rebuilt:
    """Makes the feed's table anew. `policy` decides from the ledger, outside of the lock: `load` is every extract that
    the table is to hold, in order; `remove` are the ids of those that it holds no more. `connect` opens a session;
    `progress` gets the number of extracts that are loaded, and of all.

    Raises LoadRefused, RowCountMismatch, RebuildOvertaken, what the policy raises, and the connector's errors; nothing
    has changed then, unless the connection was lost after COMMIT.
    """
    table = raw_table(database, feed.source, feed.table)
    following = table_beside(table)
    for _ in range(_TRIES):
        with connect() as connection:
            apply_missing(connection, table, feed)
            before = count_rows(connection, table.sql)
            with connection.cursor() as cursor:
                there = ledger.extracts_in_table(cursor, database, feed)
                decision = policy.decide(cursor, ledger.loaded_extracts(cursor, database, list(there)))
            load_rules.same_types(feed, decision.load)
            wanted = _with_kept(connection, table, feed, decision.load)
            _fill(connection, following, wanted, decision.load, query_tag, progress)
            with _loads_wait(connect, database, feed, run_id), connection.cursor() as cursor:
                if ledger.extracts_in_table(cursor, database, feed).keys() != there.keys():
                    continue
                rejects = _record(connection, database, feed, decision, policy, there, run_id, query_tag)
                cursor.execute(f"ALTER TABLE {table.sql} SWAP WITH {following.sql}")
                cursor.execute(f"DROP TABLE IF EXISTS {following.sql}")
            return Rebuilt(before, count_rows(connection, table.sql), rejects)
    raise RebuildOvertaken(
        f"{feed.name}: loads kept coming while its table was rebuilt, {_TRIES} times; nothing has changed. Pause the"
        " feed's sensor or schedule, and run the command again"
    )


def table_beside(table: TableRef) -> TableRef:
    """The table that is made beside this one."""
    return TableRef(table.database, table.schema, f"{table.table}__NEXT")


def apply_missing(connection: SnowflakeConnection, table: TableRef, feed: FeedSpec) -> None:
    """Creates the table if somebody dropped it."""
    if not read_columns(connection, table):
        apply_schema(connection, plan_changes(table, (), feed.table_columns))


def _with_kept(
    connection: SnowflakeConnection, table: TableRef, feed: FeedSpec, manifests: Sequence[Manifest]
) -> FeedSpec:
    """The feed with those further columns of its table that one of these extracts has."""
    names = {entry.name.upper() for manifest in manifests for entry in manifest.columns}
    there = [column for column in read_columns(connection, table) if column.name in names]
    return feed.with_contract(with_further(feed.contract, manifests, there))


def _fill(
    connection: SnowflakeConnection,
    following: TableRef,
    feed: FeedSpec,
    manifests: Sequence[Manifest],
    query_tag: str,
    progress: Callable[[int, int], None],
) -> None:
    columns, mode = feed.extract_columns, feed.load_mode
    staging = loading_table(connection, following, columns) if mode in ("merge", "history") else None
    parts: list[Sequence[Manifest]] = [
        manifests[start : start + EXTRACTS_A_STEP] for start in range(0, len(manifests), EXTRACTS_A_STEP)
    ]
    if mode == "history":
        parts = [snapshot.extracts for snapshot in snapshots_of(manifests)]
    before, done = None, 0
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE OR REPLACE TABLE {following.sql} ({table_body(feed.table_columns)})")
        with transaction(cursor, query_tag) as run:
            for part in parts:
                times = {each.extract_id: each.effective_at or each.started_at for each in part}
                if staging is None:
                    copy_rows(run.execute, following, columns, part)
                elif mode == "history":
                    apply_snapshots(run.execute, following, staging, feed, snapshots_of(part), before=before, new=())
                    before = max(times.values())
                else:
                    copy_rows(run.execute, staging, columns, part)
                    merge_rows(run.execute, following, staging, feed, times, beside_later=False)
                    run.execute(f"DELETE FROM {staging.sql}")
                done += len(part)
                progress(done, len(manifests))
        if staging is not None:
            cursor.execute(f"DROP TABLE IF EXISTS {staging.sql}")


@contextmanager
def _loads_wait(
    connect: Callable[[], SnowflakeConnection], database: str, feed: FeedSpec, run_id: str
) -> Iterator[None]:
    """Holds the feed's lock, in a session of its own: what runs within, DDL too, commits in another."""
    lock = platform.load_lock(database, feed.source, feed.table)
    with connect() as connection, connection.cursor() as cursor:
        cursor.execute("BEGIN")
        take_lock(cursor.execute, lock, run_id)
        try:
            yield
        finally:
            cursor.execute("ROLLBACK")


def _record(
    connection: SnowflakeConnection,
    database: str,
    feed: FeedSpec,
    decision: Decision,
    policy: Policy,
    there: Mapping[str, ledger.InTable],
    run_id: str,
    query_tag: str,
) -> int:
    """Writes the ledger, in one transaction. Returns the number of new rejects."""
    new = [
        each
        for each in decision.load
        if each.extract_id not in there or there[each.extract_id].load_mode != feed.load_mode
    ]
    with connection.cursor() as cursor, transaction(cursor, query_tag) as run:
        known = ledger.loaded_extracts(cursor, database, [each.extract_id for each in new])
        last = ledger.last_loads(cursor, database, feed)
        now = time_of_record([last.recorded_at])
        gone = there.keys() & decision.remove
        ledger.record_removed(cursor, database, feed, gone, now)
        delete_rows(run.execute, platform.rejects(database), "EXTRACT_ID", gone)
        again = {*known, *(each.extract_id for each in decision.rejects)}
        table = raw_table(database, feed.source, feed.table)
        rejects = load_rejects(run, table, feed, [*new, *decision.rejects], again)
        ledger.write_loads(
            cursor,
            database,
            [
                load_row(
                    each,
                    feed.load_mode,
                    run_id,
                    now,
                    known.get(each.extract_id, place),
                    each.effective_at or each.started_at,
                )
                for place, each in enumerate(new, start=last.sequence + 1)
            ],
        )
        if feed.load_mode in ("merge", "history"):
            table_rows.record(cursor, database, feed, table_rows.count(cursor, table_beside(table)), now)
        policy.record(cursor)
    return rejects
