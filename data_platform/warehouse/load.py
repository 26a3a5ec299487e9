"""Loads extracts into a table in one transaction: rows, rejects and ledger, all or nothing.

    BEGIN
    UPDATE PLATFORM.LOAD_LOCK_nn    from here on, loads of one feed take turns
    SELECT LOADS, DELIVERIES        what is loaded already; `settlement.decide` decides what is left to do
    DELETE FROM the table           superseded deliveries, replaced partitions, reloaded extracts
    COPY INTO the table             exactly the manifests' files (mode `merge`: into a temporary table, then MERGE)
    COPY INTO REJECTS
    INSERT INTO LOADS, DELIVERIES
    COMMIT

A failure before COMMIT rolls back everything. If the answer of a COMMIT is lost, the same call finds its extracts and
deliveries in the ledger and does nothing. There is no DDL within the transaction, as DDL commits.
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

    `rows_loaded` counts the rows of files, and `loaded` names their extracts (not those that were loaded before, or
    whose delivery is a duplicate or superseded). `outcomes` are the settlements' ledger rows, by delivery id.
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
    """A cursor that tags its statements with the load's query tag, and records their query ids."""

    cursor: SnowflakeCursor
    query_tag: str | None
    query_ids: list[str] = field(default_factory=list)

    def execute(self, sql: str, bound: Sequence[object] | None = None) -> SnowflakeCursor:
        # COPY casts instants to TIMESTAMP_TZ in the session's time zone: see `copy.py`.
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
    """Loads the extracts of one feed, each exactly once, in the given order. The table must match the contract
    (`schema.py`).

    Skips extracts that the ledger has; with `reload`, deletes their rows and loads them again. `settlements` are the
    wanted outcomes of a file feed's deliveries: `loaded` with the extract of one of the manifests, or `duplicate` or
    `quarantined` without an extract (a manifest whose `origin` names a quarantined delivery holds only rejects).

    `replace` deletes the rows of the manifests' partitions (all rows, if the feed has no partitions), and loads only
    the last of several extracts of one partition. `merge` keeps one row per key: that of the delivery that landed last,
    and within it of the last record, in whatever order deliveries are loaded.

    Raises LoadRefused, LedgerChanged, RowCountMismatch, and the connector's errors, and changes nothing then.
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
        with suppress(Exception):  # on a lost connection, Snowflake rolls back itself when the session ends
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
    """The decision, and the ids of the deliveries whose ledger rows it replaces."""
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
    """Deletes the rows that this load replaces. Returns their number."""
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
    """The extracts that hold only the rejects of deliveries that this load quarantines."""
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
    """Loads the rejects, replacing those of an earlier outcome of the same delivery. A superseded delivery keeps its
    rejects, as it keeps its ledger row."""
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
