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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from snowflake.connector import SnowflakeConnection
from snowflake.connector.cursor import SnowflakeCursor

from data_platform.contract import EXTRACT_ID, Column, Contract, quoted
from data_platform.lake.manifest import Manifest
from data_platform.warehouse import ledger, platform
from data_platform.warehouse.copy import copy_rejects, copy_rows
from data_platform.warehouse.merge import loading_table, merge_rows
from data_platform.warehouse.rows import placeholders
from data_platform.warehouse.settlement import Decision, DeliveryRow, LoadMode, Settlement, decide
from data_platform.warehouse.table import TableRef


class LoadRefused(Exception):
    """These extracts can't be loaded; the message says which, why, and what to do."""


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What one load did. `rows_loaded` are rows of files; `loaded` the extracts whose rows it loaded (not
    those that were loaded before, or whose delivery is a duplicate or superseded). `deliveries` are the
    ledger's rows of the settlements, in their order."""

    rows_loaded: int = 0
    rows_deleted: int = 0
    rows_rejected: int = 0
    loaded: tuple[str, ...] = ()
    deliveries: tuple[DeliveryRow, ...] = ()
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
    metadata: Sequence[Column],
    settlements: Sequence[Settlement] = (),
    run_id: str | None = None,
    query_tag: str | None = None,
    reload: bool = False,
) -> LoadResult:
    """Loads the extracts of one feed, each exactly once, in the order given.

    Extracts that the ledger has are left alone, unless `reload` says to take their rows out and load them
    again. `settlements` are the outcomes of a file feed's deliveries, one of them for each manifest
    (`loaded`); they may also be `duplicate` or `quarantined`, without an extract. `replace` takes out the
    rows of the manifests' partitions (all rows, for a feed without partitions), and of several extracts of
    one partition keeps the last; `merge` lets the row of the last delivery (then record) win for each key.
    `metadata` is as for `plan_schema`, which must have been applied.

    Raises LoadRefused, LedgerChanged, RowCountMismatch, and the connector's errors; nothing is changed then.
    """
    started = time.monotonic()
    columns = (*contract.columns, *metadata)
    by_id = _checked(table, columns, manifests, settlements)
    if not manifests and not settlements:
        return LoadResult()
    staging = loading_table(connection, table, columns) if load_mode == "merge" and manifests else None
    with connection.cursor() as cursor, _transaction(cursor, query_tag) as run:
        one = manifests[0] if manifests else settlements[0]
        source, feed = (one.source, one.table) if isinstance(one, Manifest) else (one.partner, one.feed)
        lock = platform.load_lock(table.database, source, feed)
        run.execute(f"UPDATE {lock.sql} SET HOLDER = %s", [run_id or "no run"])
        known = ledger.loaded_extracts(cursor, table.database, list(by_id))
        decision, again = _decide(cursor, table, load_mode, manifests, settlements, known, run_id, reload)
        chosen = [by_id[extract_id] for extract_id in decision.load]
        deleted = _take_out(run, table, load_mode, chosen, decision.remove)
        files = [file for manifest in chosen for file in manifest.files]
        if staging is None:
            rows = copy_rows(run.execute, table, columns, files)
        else:
            rows = copy_rows(run.execute, staging, columns, files)
            merge_rows(run.execute, table, staging, columns, contract.key, decision.load)
        rejected = _load_rejects(run, table, chosen, decision.remove)
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
        deliveries=tuple(decision.outcomes[each.delivery_id] for each in settlements),
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


def _load_rejects(run: _Transaction, table: TableRef, chosen: Sequence[Manifest], remove: set[str]) -> int:
    """Loads the rejects. Those of a superseded delivery stay, as it stays in the ledger; a reloaded extract's
    and those of a delivery that comes in another extract now would double."""
    rejects = platform.rejects(table.database)
    again = sorted(remove & {manifest.extract_id for manifest in chosen})
    if again:
        run.execute(f"DELETE FROM {rejects.sql} WHERE EXTRACT_ID IN ({placeholders(again)})", again)
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


def _checked(
    table: TableRef,
    columns: Sequence[Column],
    manifests: Sequence[Manifest],
    settlements: Sequence[Settlement],
) -> dict[str, Manifest]:
    """The manifests by extract id, where they belong together and to this table."""
    by_id = {manifest.extract_id: manifest for manifest in manifests}
    if len(by_id) < len(manifests):
        raise LoadRefused(f"{table}: an extract is given twice; give each manifest once")
    feeds = {(manifest.source, manifest.table) for manifest in manifests}
    feeds |= {(settlement.partner, settlement.feed) for settlement in settlements}
    if len(feeds) > 1:
        raise LoadRefused(f"{table}: extracts of several feeds, {sorted(feeds)}; load each feed by itself")
    wanted = {settlement.extract_id for settlement in settlements if settlement.extract_id is not None}
    if settlements and wanted != by_id.keys():
        raise LoadRefused(
            f"{table}: the manifests given and the settlements' extracts differ in"
            f" {sorted(wanted ^ by_id.keys())}; give one settlement for each manifest"
        )
    types = {column.name: str(column.arrow_type) for column in columns}
    for manifest in manifests:
        for column in manifest.columns:
            expected = types.get(column.name, column.type)
            if column.type != expected:
                raise LoadRefused(
                    f"{table}: extract {manifest.extract_id} has {column.name} as {column.type}, and the"
                    f" contract says {expected} now; extract it again under the new contract"
                )
    return by_id
