"""Loads extracts into a table in one transaction: rows, rejects and ledger, all of it or nothing.

    BEGIN
    UPDATE PLATFORM.LOAD_LOCK_nn    loads of one feed take turns from here on
    SELECT LOADS, DELIVERIES        what is loaded already; `settlement.decide` says what is left to do
    DELETE FROM the table           superseded deliveries, replaced partitions, reloaded extracts
    COPY INTO the table             exactly the manifests' files (under `merge` into a temporary table, then
    MERGE) COPY INTO REJECTS, INSERT INTO LOADS, DELIVERIES
    COMMIT

Whatever fails before COMMIT is rolled back. After a COMMIT whose answer was lost, the same call finds its
extracts and deliveries in the ledger and does nothing. No DDL in between: it would commit.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from data_platform.contract import EXTRACT_ID, Contract, quoted
from data_platform.lake.manifest import Manifest
from data_platform.warehouse import ledger, load_rules, platform
from data_platform.warehouse.copy import copy_rejects, copy_rows
from data_platform.warehouse.merge import loading_table, merge_rows
from data_platform.warehouse.rows import placeholders
from data_platform.warehouse.settlement import Decision, DeliveryRow, LoadMode, Settlement, decide
from data_platform.warehouse.table import TableRef

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection
    from snowflake.connector.cursor import SnowflakeCursor


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What one load did.

    `rows_loaded` are rows of files; `loaded` the extracts that they came from (not those that were loaded
    before, or whose delivery is a duplicate or superseded). `outcomes` are the ledger's rows of the
    settlements, by delivery id.
    """

    rows_loaded: int = 0
    rows_deleted: int = 0
    rows_rejected: int = 0
    loaded: tuple[str, ...] = ()
    outcomes: Mapping[str, DeliveryRow] = field(default_factory=dict)
    query_ids: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass(slots=True)
class _Transaction:
    """A cursor whose statements carry the load's tag, and what they were."""

    cursor: SnowflakeCursor
    query_tag: str | None
    query_ids: list[str] = field(default_factory=list)

    def execute(self, sql: str, bound: Sequence[object] | None = None) -> SnowflakeCursor:
        # COPY casts instants to TIMESTAMP_TZ in the session's zone: see `copy.py`.
        parameters = {"TIMEZONE": "UTC"} | ({"QUERY_TAG": self.query_tag} if self.query_tag else {})
        self.cursor.execute(sql, bound, _statement_params=parameters)
        self.query_ids.append(str(self.cursor.sfqid))
        return self.cursor


def load_extracts(
    connection: SnowflakeConnection,
    table: TableRef,
    contract: Contract,
    load_mode: LoadMode,
    manifests: Sequence[Manifest],
    *,
    settlements: Sequence[Settlement] = (),
    run_id: str | None = None,
    query_tag: str | None = None,
    reload: bool = False,
) -> LoadResult:
    """Loads the extracts of one feed, each exactly once, in the order given. The table must have its schema.

    Extracts that the ledger has are left alone, unless `reload` says to take their rows out and load them
    again. `settlements` are the outcomes of a file feed's deliveries: `loaded` with the extract of one of the
    manifests, or `duplicate` or `quarantined` without (a manifest whose `origin` names a quarantined delivery
    brings only rejects). `replace` takes out the rows of the manifests' partitions (all rows, for a feed
    without partitions), and of several extracts of one partition keeps the last; `merge` lets the row of the
    delivery that landed last, then of the last record, win for each key, whichever is loaded first.

    Raises LoadRefused, LedgerChanged, RowCountMismatch, and the connector's errors; nothing is changed then.
    """
    started = time.monotonic()
    if not manifests and not settlements:
        return LoadResult()
    by_id = {manifest.extract_id: manifest for manifest in manifests}
    columns = load_rules.columns_of(contract, manifests)
    feed = load_rules.one_feed(table, manifests, settlements)
    load_rules.same_types(table, columns, manifests)
    staging = loading_table(connection, table, columns) if load_mode == "merge" and manifests else None
    with connection.cursor() as cursor, _transaction(cursor, query_tag) as run:
        lock = platform.load_lock(table.database, *feed)
        run.execute(f"UPDATE {lock.sql} SET HOLDER = %s", [run_id or "no run"])
        known = ledger.loaded_extracts(cursor, table.database, list(by_id))
        decision, again = _decide(cursor, table, load_mode, manifests, settlements, known, run_id, reload)
        chosen = [by_id[extract_id] for extract_id in decision.load]
        deleted = _take_out(run, table, load_mode, chosen, decision.remove)
        files = [file for manifest in chosen for file in manifest.files]
        rows = copy_rows(run.execute, staging or table, columns, files)
        if staging is not None:
            loading = [each for each in settlements if each.extract_id in decision.load]
            merge_rows(
                run.execute,
                table,
                staging,
                columns,
                contract.key,
                decision.load,
                landed={str(each.extract_id): each.landed_at for each in loading}
                if loading and ledger.lands_late(cursor, table.database, loading)
                else {},
            )
        rejected = _load_rejects(run, table, chosen + _quarantined(manifests, decision), decision.remove, again)
        now = datetime.now(UTC)
        ledger.write_loads(
            cursor,
            table.database,
            [_load_row(manifest, load_mode, run_id, now) for manifest in chosen],
            again=known.keys() & set(decision.load),
        )
        ledger.write_deliveries(cursor, table.database, list(decision.write.values()), again=again)
    if staging is not None:
        with connection.cursor() as cursor:
            cursor.execute(f"DROP TABLE IF EXISTS {staging.sql}")
    return LoadResult(
        rows_loaded=rows,
        rows_deleted=deleted,
        rows_rejected=rejected,
        loaded=tuple(decision.load),
        outcomes=decision.outcomes,
        query_ids=tuple(run.query_ids),
        seconds=time.monotonic() - started,
    )


@contextmanager
def _transaction(cursor: SnowflakeCursor, query_tag: str | None) -> Iterator[_Transaction]:
    cursor.execute("BEGIN")
    try:
        yield _Transaction(cursor, query_tag)
        cursor.execute("COMMIT")
    except BaseException:
        with suppress(Exception):  # a lost connection can't roll back; Snowflake does when the session ends
            cursor.execute("ROLLBACK")
        raise


def _decide(
    cursor: SnowflakeCursor,
    table: TableRef,
    mode: LoadMode,
    manifests: Sequence[Manifest],
    settlements: Sequence[Settlement],
    known: dict[str, int],
    run_id: str | None,
    reload: bool,
) -> tuple[Decision, set[str]]:
    """The decision, and the deliveries whose ledger rows it changes."""
    if settlements:
        rows = ledger.related_deliveries(cursor, table.database, settlements, by_partition=mode == "replace")
        decision = decide(settlements, rows, mode=mode, run_id=run_id, now=datetime.now(UTC), reload=reload)
        return decision, {row.delivery_id for row in rows} & decision.write.keys()
    wanted = [manifest for manifest in manifests if reload or manifest.extract_id not in known]
    if mode == "replace":
        wanted = list({manifest.partition: manifest for manifest in wanted}.values())
    ids = [manifest.extract_id for manifest in wanted]
    return Decision(load=ids, remove=set(ids) & known.keys()), set()


def _take_out(run: _Transaction, table: TableRef, mode: LoadMode, chosen: Sequence[Manifest], remove: set[str]) -> int:
    """Deletes the rows that this load replaces; returns how many."""
    deleted = 0
    if mode == "replace" and chosen:
        partitions = sorted({manifest.partition for manifest in chosen if manifest.partition is not None})
        if len(partitions) < len({manifest.partition for manifest in chosen}):
            return run.execute(f"DELETE FROM {table.sql}").rowcount or 0
        deleted += (
            run.execute(
                f"DELETE FROM {table.sql} WHERE {quoted(EXTRACT_ID)} IN (SELECT EXTRACT_ID FROM"
                f" {platform.loads(table.database).sql} WHERE SOURCE = %s AND TABLE_NAME = %s"
                f" AND PARTITION_KEY IN ({placeholders(partitions)}))",
                [chosen[0].source, chosen[0].table, *partitions],
            ).rowcount
            or 0
        )
    if remove:
        ids = sorted(remove)
        deleted += (
            run.execute(f"DELETE FROM {table.sql} WHERE {quoted(EXTRACT_ID)} IN ({placeholders(ids)})", ids).rowcount
            or 0
        )
    return deleted


def _quarantined(manifests: Sequence[Manifest], decision: Decision) -> list[Manifest]:
    """Extracts of nothing but the rejects of deliveries that are quarantined now."""
    return [
        manifest
        for manifest in manifests
        if (row := decision.write.get(str(manifest.origin.get("delivery_id"))))
        and row.status == "quarantined"
        and not manifest.files
    ]


def _load_rejects(
    run: _Transaction,
    table: TableRef,
    chosen: Sequence[Manifest],
    remove: set[str],
    again: set[str],
) -> int:
    """Loads the rejects, in the place of those that an earlier outcome of the same delivery left. Those of a
    superseded delivery stay, as it stays in the ledger."""
    rejects = platform.rejects(table.database)
    old = [
        manifest.extract_id
        for manifest in chosen
        if manifest.extract_id in remove or manifest.origin.get("delivery_id") in again
    ]
    if old:
        run.execute(f"DELETE FROM {rejects.sql} WHERE EXTRACT_ID IN ({placeholders(old)})", old)
    files = [manifest.rejects_file for manifest in chosen if manifest.rejects_file is not None]
    return copy_rejects(run.execute, rejects, files)


def _load_row(manifest: Manifest, mode: LoadMode, run_id: str | None, now: datetime) -> ledger.LoadRow:
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
    )
