"""Takes a feed's deliveries from inbound to settled: extracts, one load transaction, receipts, the move to archive.

Killed anywhere, the next call with the same deliveries finishes the job: it finds committed extracts, the ledger has
what is loaded, and only the rest is settled. The caller reports the loaded rows to Dagster between `take_in` and
`settle`; anything unsettled is reported again by the next run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeAlias

from data_platform.feeds.files import FileContract, FileFeedSpec
from data_platform.lake.extracts import Lake
from data_platform.lake.manifest import Manifest
from data_platform.landing import history, ledger
from data_platform.landing.accept import Accepted, accept, evolved_contract
from data_platform.landing.bucket import LandingBucket
from data_platform.landing.delivery import Delivery, DeliveryGone
from data_platform.landing.outcomes import DeliveryRow, LedgerChanged, Settlement
from data_platform.landing.policy import DeliveryPolicy
from data_platform.landing.result import IntakeResult
from data_platform.landing.settle import archive
from data_platform.landing.versions import Requested, Work, versions
from data_platform.warehouse.describe import count_rows
from data_platform.warehouse.load import LoadResult, load_extracts
from data_platform.warehouse.migrations import require_current
from data_platform.warehouse.schema import apply_schema, plan_schema
from data_platform.warehouse.table import raw_table

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

DELIVERIES_A_LOAD = 200
READS_AT_ONCE = 2
SETTLES_AT_ONCE = 8
_USUAL = 100

_Loaded: TypeAlias = tuple[LoadResult, Mapping[str, DeliveryRow]]


class Intake:
    """Takes in one feed's deliveries. `connect` opens a Snowflake session; `progress` receives messages for the
    log, from several threads."""

    def __init__(
        self,
        rules: FileFeedSpec,
        *,
        bucket: LandingBucket,
        lake: Lake,
        connect: Callable[[], SnowflakeConnection],
        database: str,
        run_id: str | None,
        query_tag: str | None = None,
        progress: Callable[[str], None] = lambda message: None,
    ) -> None:
        self.rules = rules
        self.target = raw_table(database, rules.source, rules.table)
        self._database = database
        self._bucket = bucket
        self._lake = lake
        self._connect = connect
        self._run_id = run_id
        self._query_tag = query_tag
        self._progress = progress

    def take_in(self, requested: Sequence[Requested]) -> IntakeResult:
        """Reads and loads the requested files, up to 200 in a transaction. Leaves out files that are gone: another run
        has settled them. The files stay in inbound until `settle`."""
        started = time.monotonic()
        result = IntakeResult(self.target)
        with self._connect() as connection:
            require_current(connection, self._database, ledger.MIGRATIONS)
            result.usual_rows = history.latest_row_counts(
                connection, self._database, self.rules.source, self.rules.table, limit=_USUAL
            )
            for start in range(0, len(requested), DELIVERIES_A_LOAD):
                self._take_in(connection, requested[start : start + DELIVERIES_A_LOAD], result)
            if result.loads:
                result.table_rows = count_rows(connection, self.target.sql)
        result.seconds = time.monotonic() - started
        return result

    def settle(self, result: IntakeResult) -> None:
        """Writes the receipts and moves the files out of inbound. Where some can't be copied, the others are still
        moved before the error is raised."""
        with ThreadPoolExecutor(SETTLES_AT_ONCE, thread_name_prefix="settle") as pool:
            done = [pool.submit(self._archive, row, result) for row in result.receipts]
        self._bucket.delete(*(version for one in done if one.exception() is None for version in one.result()))
        for one in done:
            one.result()
        if done:
            self._progress(f"{self.rules.name}: settled {len(done)} files")

    def reload(self, partition: str | None) -> IntakeResult:
        """Loads again the committed extracts of a partition (None: of the whole feed) that the ledger has as loaded.
        The table ends with the same rows."""
        started = time.monotonic()
        result = IntakeResult(self.target)
        extracts = {
            manifest.extract_id: manifest
            for manifest in self._lake.list_manifests(self.rules.source, self.rules.table, partition)
        }
        with self._connect() as connection:
            rows = ledger.settled_deliveries(
                connection,
                self._database,
                [str(manifest.origin["delivery_id"]) for manifest in extracts.values()],
            )
            again = [row for row in rows.values() if row.status == "loaded" and row.extract_id in extracts]
            again.sort(key=lambda row: row.landed_at)
            for start in range(0, len(again), DELIVERIES_A_LOAD):
                part = again[start : start + DELIVERIES_A_LOAD]
                manifests = [extracts[str(row.extract_id)] for row in part]
                contract = self._contract(evolved_contract(self.rules.contract, one) for one in manifests)
                wanted = [_settlement_again(row) for row in part]
                load, _ = self._load(connection, contract, manifests, wanted, reload=True)
                result.loads.append(load)
                result.manifests += manifests
            result.table_rows = count_rows(connection, self.target.sql) if again else 0
        result.seconds = time.monotonic() - started
        return result

    def _take_in(self, connection: SnowflakeConnection, requested: Sequence[Requested], result: IntakeResult) -> None:
        work = list(versions(self._bucket, self.rules, requested, self._progress))
        if not work:
            return
        read = self._accept_all(connection, work)
        accepted = [one for one in read if one is not None]
        if not accepted:
            return
        self._progress(
            f"{self.rules.name}: read {len(accepted)} files, {sum(one.rows_read for one in accepted)} rows,"
            f" {sum(one.rows_rejected for one in accepted)} rejects"
        )
        load, rows = self._load_accepted(connection, accepted)
        outcomes = [rows[one.delivery.id] for one in accepted]
        in_table = {row.extract_id for row in outcomes if row.status == "loaded"}
        result.loads.append(load)
        result.manifests += [one.manifest for one in accepted if one.manifest and one.manifest.extract_id in in_table]
        result.receipts += outcomes
        result.companions |= {item.delivery.id: item.companion for item in work}
        self._progress(f"{self.rules.name}: loaded {load.rows_loaded} rows of {len(load.loaded)} files")

    def _accept_all(self, connection: SnowflakeConnection, work: Sequence[Work]) -> list[Accepted | None]:
        """Each delivery as it was read; None for one that another run has settled meanwhile."""
        partitions = {item.delivery.id: self.rules.partition_key(item.delivery.file_name) for item in work}
        loaded = history.loaded_contents(
            connection, self._database, self.rules.source, self.rules.table, set(partitions.values())
        )

        def one(item: Work) -> Accepted | None:
            delivery = item.delivery
            if item.give_up is not None:
                return Accepted(delivery, self.rules.contract, None, None, 0, 0, reason=item.give_up)
            partition = partitions[delivery.id]
            try:
                return accept(
                    delivery,
                    self.rules,
                    partition,
                    bucket=self._bucket,
                    lake=self._lake,
                    run_id=self._run_id,
                    companion=item.companion,
                    seen=lambda sha256: loaded.get((partition, sha256), delivery.id) != delivery.id,
                )
            except DeliveryGone as gone:
                self._progress(f"{self.rules.name}: {gone}: settled by another run")
                return None

        with ThreadPoolExecutor(READS_AT_ONCE, thread_name_prefix="read") as pool:
            return list(pool.map(one, work))

    def _load_accepted(self, connection: SnowflakeConnection, accepted: Sequence[Accepted]) -> _Loaded:
        try:
            return self._load_as_read(connection, accepted)
        except LedgerChanged:
            # Content that one of them repeats was superseded meanwhile: read that delivery after all.
            return self._load_as_read(connection, [self._reread(one) if one.repeated else one for one in accepted])

    def _load_as_read(self, connection: SnowflakeConnection, accepted: Sequence[Accepted]) -> _Loaded:
        manifests = [one.manifest for one in accepted if one.manifest is not None]
        contract = self._contract(one.contract for one in accepted)
        return self._load(connection, contract, manifests, [self._settlement(one) for one in accepted])

    def _reread(self, one: Accepted) -> Accepted:
        partition = self.rules.partition_key(one.delivery.file_name)
        return accept(one.delivery, self.rules, partition, bucket=self._bucket, lake=self._lake, run_id=self._run_id)

    def _load(
        self,
        connection: SnowflakeConnection,
        contract: FileContract,
        manifests: Sequence[Manifest],
        settlements: Sequence[Settlement],
        *,
        reload: bool = False,
    ) -> _Loaded:
        feed = self.rules.with_contract(contract)
        apply_schema(connection, plan_schema(connection, self.target, feed.table_columns))
        policy = DeliveryPolicy(self._database, feed, manifests, settlements, run_id=self._run_id, reload=reload)
        load = load_extracts(
            connection,
            self._database,
            feed,
            manifests,
            lake=self._lake,
            policy=policy,
            run_id=self._run_id,
            query_tag=self._query_tag,
        )
        return load, policy.outcomes

    def _contract(self, contracts: Iterable[FileContract]) -> FileContract:
        """The feed's contract with every column that any of the files added."""
        known = {column.name for column in self.rules.contract.columns}
        added = {column.name: None for one in contracts for column in one.columns if column.name not in known}
        return self.rules.contract.evolved(tuple(added)) if added else self.rules.contract

    def _settlement(self, one: Accepted) -> Settlement:
        delivery = one.delivery
        status: Any = "quarantined" if one.reason else "duplicate" if one.repeated else "loaded"
        return Settlement(
            delivery_id=delivery.id,
            partner=self.rules.source,
            feed=self.rules.table,
            file_name=delivery.file_name,
            object_key=delivery.key,
            version_id=delivery.version_id,
            etag=delivery.etag,
            size_bytes=delivery.size,
            content_sha256=one.sha256,
            landed_at=delivery.landed_at,
            partition=self.rules.partition_key(delivery.file_name),
            status=status,
            reason=one.reason,
            rows_read=one.rows_read,
            rows_rejected=one.rows_rejected,
            extract_id=one.manifest.extract_id if one.manifest and status == "loaded" else None,
        )

    def _archive(self, receipt: DeliveryRow, result: IntakeResult) -> list[Delivery]:
        return archive(receipt, self._bucket, self._lake.store, companion=result.companions[receipt.delivery_id])


def _settlement_again(row: DeliveryRow) -> Settlement:
    names = [field.name for field in fields(Settlement)]
    return Settlement(**{name: getattr(row, name) for name in names})
