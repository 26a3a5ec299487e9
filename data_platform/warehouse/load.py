"""Loads extracts into a table in one transaction: rows, rejects and ledger, all or nothing.

    BEGIN
    UPDATE PLATFORM.LOAD_LOCK_nn    from here on, loads of one feed take turns (`load_lock.py`)
    SELECT LOADS                    what is loaded already; the policy decides what is left to do
    INSERT INTO LOADS               which extracts' rows this load takes out for good
    DELETE FROM the table           replaced partitions, reloaded extracts, what the policy removes
    COPY INTO the table             exactly the manifests' files (modes `merge` and `history`: into a temporary table,
                                    then MERGE)
    COPY INTO REJECTS               those that aren't there yet
    INSERT INTO LOADS               and the policy's own accounts
    COMMIT

A failure before COMMIT rolls back everything. If the answer of a COMMIT is lost, the same call finds its extracts in
the ledger and does nothing. There is no DDL within the transaction, as DDL commits.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from data_platform.contract import EXTRACT_ID, quoted
from data_platform.feeds.spec import WHOLE, FeedSpec, LoadMode
from data_platform.lake.extracts import Lake
from data_platform.lake.manifest import ExtractKey, Manifest
from data_platform.warehouse import ledger, load_rules, platform, table_rows
from data_platform.warehouse.copy import copy_rejects, copy_rows
from data_platform.warehouse.history import Applied, load_snapshots
from data_platform.warehouse.load_lock import take_lock
from data_platform.warehouse.merge import delete_gone, loading_table, merge_rows, overwrite_rows_of
from data_platform.warehouse.policy import LoadOnce, Policy
from data_platform.warehouse.rows import count_by, delete_rows, placeholders, time_of_record
from data_platform.warehouse.table import TableRef, raw_table
from data_platform.warehouse.transaction import Transaction, transaction

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What one load did.

    `loaded`: the extracts that it put into the table; `rows_loaded` counts their rows. `kept`: those of the given ones
    that were in the table before and still are. `versions`: with load mode `history`, how many it began;
    `repeated_keys`: how many keys are in more than one row of a snapshot.
    """

    rows_loaded: int = 0
    rows_deleted: int = 0
    rows_rejected: int = 0
    loaded: tuple[Manifest, ...] = ()
    kept: tuple[Manifest, ...] = ()
    versions: int = 0
    repeated_keys: int = 0
    query_ids: tuple[str, ...] = ()
    seconds: float = 0.0


def load_extracts(
    connection: SnowflakeConnection,
    database: str,
    feed: FeedSpec,
    manifests: Sequence[Manifest],
    *,
    lake: Lake,
    policy: Policy | None = None,
    run_id: str | None = None,
    query_tag: str | None = None,
    reload: bool = False,
) -> LoadResult:
    """Loads extracts of a feed, each exactly once, in the given order. The table must match the feed's columns
    (`schema.py`).

    `policy` decides which extracts to load; default: those that the ledger lacks, or, with `reload`, all of them again,
    after their rows were deleted. Call it with no manifests only if the policy has something to record.

    `replace` deletes the rows of the manifests' partitions (all rows, if the feed has no partitions). `merge` keeps one
    row per key: that of the latest extract, in whatever order they are loaded, and within it of the last record. Where
    it takes out an extract, rows that the extract had overwritten come back, from the feed's other extracts in `lake`.
    An extract of keys deletes the rows of other keys, but none of a later extract.
    `history` keeps the versions of each row (`history.py`); it loads later snapshots again, from `lake`, where an
    earlier one comes late or is taken out.

    Raises LoadRefused, LedgerLost, RowCountMismatch, what the policy raises, and the connector's errors, and changes
    nothing then.
    """
    started = time.monotonic()
    if not manifests and policy is None:
        return LoadResult()
    policy = policy or LoadOnce(feed.load_mode, manifests, reload=reload)
    mode, table = feed.load_mode, raw_table(database, feed.source, feed.table)
    load_rules.of_one_feed(feed, manifests)
    stages = mode == "history" or (mode == "merge" and bool(manifests))
    staging = loading_table(connection, table, feed.extract_columns) if stages else None
    with connection.cursor() as cursor, transaction(cursor, query_tag) as run:
        lock = platform.load_lock(table.database, feed.source, feed.table)
        take_lock(run.execute, lock, run_id or "no run")
        known = ledger.loaded_extracts(cursor, table.database, [manifest.extract_id for manifest in manifests])
        decision = policy.decide(cursor, known)
        before = table_rows.count(cursor, table) if staging is not None else 0
        chosen, remove = decision.load, decision.remove
        there = ledger.extracts_in_table(cursor, table.database, feed) if mode in WHOLE else {}
        if mode == "replace":
            chosen = load_rules.not_outdated(chosen, there)
            partitions = {manifest.partition for manifest in chosen}
            remove = remove | {extract_id for extract_id, found in there.items() if found.partition in partitions}
        load_rules.same_types(feed, chosen)
        ids = {manifest.extract_id for manifest in chosen}
        gone = remove - ids
        last = ledger.last_loads(cursor, table.database, feed)
        if chosen and last.recorded_at is None:  # it is the feed's first load
            ledger.refuse_lost(cursor, table, feed)
        now = time_of_record([last.recorded_at])
        ledger.record_removed(cursor, table.database, feed, gone, now)
        effective_at = {each.extract_id: each.effective_at or each.started_at for each in chosen}
        applied, deleted = Applied(), 0
        if mode == "history" and staging is not None:
            load_rules.same_mode(feed, there)
            applied = load_snapshots(run.execute, lake, table, staging, feed, chosen, gone, there)
        else:
            deleted = delete_rows(run.execute, table, EXTRACT_ID, remove - gone if mode == "merge" else remove)
            of_rows = [each for each in chosen if not each.holds_keys]
            copy_rows(run.execute, staging or table, feed.extract_columns, of_rows)
            if staging is not None and of_rows:
                times = {each.extract_id: effective_at[each.extract_id] for each in of_rows}
                late = last.effective_at is not None and last.effective_at > min(times.values())
                merge_rows(run.execute, table, staging, feed, times, beside_later=late)
            if staging is not None and len(of_rows) < len(chosen):
                keys = max((each for each in chosen if each.holds_keys), key=lambda each: effective_at[each.extract_id])
                run.execute(f"DELETE FROM {staging.sql}")
                copy_rows(run.execute, staging, feed.extract_columns, [keys])
                later = [each.extract_id for each in of_rows if times[each.extract_id] > effective_at[keys.extract_id]]
                deleted += delete_gone(run.execute, table, staging, feed, effective_at[keys.extract_id], later)
            if staging is not None and gone:
                deleted += _put_back(run, lake, table, staging, feed, gone, ids)
        rejected = load_rejects(run, table, feed, [*chosen, *decision.rejects], decision.again)
        ledger.write_loads(
            cursor,
            table.database,
            [
                load_row(each, mode, run_id, now, known.get(each.extract_id, place), effective_at[each.extract_id])
                for place, each in enumerate(chosen, start=last.sequence + 1)
            ],
        )
        if staging is not None and (chosen or gone):
            table_rows.record_load(cursor, table, feed, before, now, again=not gone and ids <= known.keys())
        policy.record(cursor)
    if staging is not None:
        with connection.cursor() as cursor:
            cursor.execute(f"DROP TABLE IF EXISTS {staging.sql}")
    return LoadResult(
        rows_loaded=sum(manifest.rows for manifest in chosen),
        rows_deleted=deleted,
        rows_rejected=rejected,
        loaded=tuple(chosen),
        kept=tuple(decision.kept),
        versions=applied.opened,
        repeated_keys=applied.repeated_keys,
        query_ids=tuple(run.query_ids),
        seconds=time.monotonic() - started,
    )


def _put_back(
    run: Transaction,
    lake: Lake,
    table: TableRef,
    staging: TableRef,
    feed: FeedSpec,
    gone: set[str],
    merged: set[str],
) -> int:
    """Takes the rows of the extracts `gone` out of a merged table, and puts back those that they had overwritten.
    Returns how many rows of theirs the merge had left."""
    ids = sorted(gone)
    theirs = f"{quoted(EXTRACT_ID)} IN ({placeholders(ids)})"
    ((left,),) = run.execute(f"SELECT COUNT(*) FROM {table.sql} WHERE {theirs}", ids).fetchall()
    if left:
        others = ledger.extracts_in_table(run.cursor, table.database, feed)
        manifests = [
            load_rules.require_manifest(lake, ExtractKey(feed.source, feed.table, each, partition))
            for each, (partition, *_) in others.items()
            if each not in merged
        ]
        load_rules.same_types(feed, manifests)
        manifests = [each for each in manifests if not each.holds_keys]
        if manifests:
            run.execute(f"DELETE FROM {staging.sql}")
            copy_rows(run.execute, staging, feed.extract_columns, manifests)
            overwrite_rows_of(run.execute, table, staging, feed, ids)
        delete_rows(run.execute, table, EXTRACT_ID, ids)
    return int(left)


def load_rejects(
    run: Transaction, table: TableRef, feed: FeedSpec, extracts: Sequence[Manifest], again: set[str]
) -> int:
    """Loads the rejects, of extracts in `again` only if they aren't there. Returns their number."""
    rejects = platform.rejects(table.database)
    by_id = {each.extract_id: each.rejects_file for each in extracts if each.rejects_file is not None}
    there = count_by(run.cursor, rejects, "EXTRACT_ID", by_id.keys() & again)
    files = [file for extract_id, file in by_id.items() if extract_id not in there]
    return copy_rejects(run.execute, rejects, feed, files)


def load_row(
    manifest: Manifest, mode: LoadMode, run_id: str | None, now: datetime, sequence: int, effective_at: datetime
) -> ledger.LoadRow:
    """The ledger's record of an extract that is loaded now."""
    return ledger.LoadRow(
        extract_id=manifest.extract_id,
        source=manifest.source,
        table_name=manifest.table,
        partition=manifest.partition,
        load_mode=mode,
        rows_loaded=manifest.rows,
        files=len(manifest.files),
        bytes=manifest.total_bytes,
        position=manifest.position_to,
        contract_hash=manifest.contract_hash,
        run_id=run_id,
        loaded_at=now,
        sequence=sequence,
        effective_at=effective_at,
        snapshot_id=manifest.snapshot_id,
    )
