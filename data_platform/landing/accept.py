"""Reads one delivery into one extract, checked against its contract, reject limit and manifest.

Everything here can be repeated: the extract's id follows from the delivery and the contract, so that a retry finds an
earlier try's extract, and a corrected contract makes a new one. `warehouse.load` decides later about the rows.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pyarrow as pa

from data_platform.feeds.files import DELIVERY_ID, FileContract, FileFeedSpec
from data_platform.lake.extracts import Lake
from data_platform.lake.manifest import ExtractKey, Manifest
from data_platform.landing.bucket import LandingBucket
from data_platform.landing.delivery import ContractViolation, Delivery, LandingError
from data_platform.landing.read import DeliveryReader

_REJECTS_KEPT = 100_000
_REJECT_BYTES_KEPT = 32 * 2**20
"""The rejects kept of a delivery past its limit: enough to see what is wrong. They are in memory until then."""


@dataclass(frozen=True)
class Accepted:
    """A delivery that was read. `manifest` commits its rows and rejects: only rejects where `reason` says why it is
    quarantined; None where there is nothing to keep, or where the content is loaded already (`repeated`)."""

    delivery: Delivery
    contract: FileContract
    manifest: Manifest | None
    sha256: str | None
    rows_read: int
    rows_rejected: int
    reason: str | None = None
    repeated: bool = False


def accept(
    delivery: Delivery,
    rules: FileFeedSpec,
    partition: str | None,
    *,
    bucket: LandingBucket,
    lake: Lake,
    run_id: str | None,
    companion: Delivery | None = None,
    seen: Callable[[str], bool] = lambda sha256: False,
) -> Accepted:
    """Reads a delivery into an extract. `seen` says whether content with that SHA-256 is loaded already. A delivery
    that can't be accepted is returned with its reason. Raises DeliveryGone, and errors of the network or storage."""
    key = ExtractKey(rules.source, rules.table, extract_id(delivery, rules.contract), partition)
    committed = lake.read_manifest(key)
    if committed is not None:
        return _from_manifest(delivery, rules.contract, committed)
    reader: DeliveryReader | None = None
    try:
        reader = DeliveryReader(bucket.open(delivery), rules, file_name=delivery.file_name)
        return _read(reader, delivery, rules, key, bucket, lake, run_id, companion, seen)
    except LandingError as error:
        if reader is None:
            return Accepted(delivery, rules.contract, None, None, 0, 0, reason=str(error))
        reader.drain()
        return Accepted(delivery, rules.contract, None, reader.content_sha256, 0, 0, reason=str(error))


def extract_id(delivery: Delivery, contract: FileContract) -> str:
    """32 hex digits, the same for the same delivery read under the same contract."""
    return hashlib.sha256(f"{delivery.id}\0{contract.hash}".encode()).hexdigest()[:32]


def _read(
    reader: DeliveryReader,
    delivery: Delivery,
    rules: FileFeedSpec,
    key: ExtractKey,
    bucket: LandingBucket,
    lake: Lake,
    run_id: str | None,
    companion: Delivery | None,
    seen: Callable[[str], bool],
) -> Accepted:
    contract = reader.contract  # the header is read: columns that a drifting file adds are known
    origin = {"delivery_id": delivery.id, "file_name": delivery.file_name, "version_id": delivery.version_id}
    schema = reader.schema.append(pa.field(DELIVERY_ID, pa.string(), False))
    extract = partial(
        lake.extract,
        key,
        schema,
        contract_hash=contract.hash,
        run_id=run_id,
        origin=origin,
        reject_columns=rules.reject_columns,
    )
    kept: list[pa.RecordBatch] = []
    kept_rows = kept_bytes = 0
    with extract() as writer:
        for chunk in reader:
            if chunk.batch.num_rows:
                writer.write(_stamped(chunk.batch, schema, delivery))
            if chunk.rejects.num_rows:
                writer.reject(_renamed(chunk.rejects))
                if kept_rows < _REJECTS_KEPT and kept_bytes < _REJECT_BYTES_KEPT:
                    kept.append(_renamed(chunk.rejects))
                    kept_rows += chunk.rejects.num_rows
                    kept_bytes += chunk.rejects.nbytes
        problem = rules.reject_limit.exceeded(reader.rows_rejected, reader.rows_read)
        if problem is None and companion is not None and rules.readiness.manifest:
            problem = _disagreement(bucket.open(companion).read(), companion.file_name, reader)
        repeated = problem is None and seen(reader.content_sha256)
        position = _position(delivery, reader, problem)
        manifest = None if problem or repeated else writer.commit(position_to=position)
    if problem and kept:
        with extract() as writer:
            for rejects in kept:
                writer.reject(rejects)
            manifest = writer.commit(position_to=position)
    return Accepted(
        delivery,
        contract,
        manifest,
        reader.content_sha256,
        reader.rows_read,
        reader.rows_rejected,
        reason=problem and f"{rules.name}: {delivery.file_name}: {problem}",
        repeated=repeated,
    )


def _position(delivery: Delivery, reader: DeliveryReader, problem: str | None) -> dict[str, str | int | None]:
    return {
        "key": delivery.key,
        "version_id": delivery.version_id,
        "etag": delivery.etag,
        "sha256": reader.content_sha256,
        "rows_read": reader.rows_read,
        "rows_rejected": reader.rows_rejected,
        "quarantined": problem,
    }


def _from_manifest(delivery: Delivery, contract: FileContract, manifest: Manifest) -> Accepted:
    """The outcome of an earlier try, from the manifest that it committed."""
    position = manifest.position_to
    return Accepted(
        delivery,
        evolved_contract(contract, manifest),
        manifest,
        position["sha256"],
        position["rows_read"],
        position["rows_rejected"],
        reason=position["quarantined"],
    )


def evolved_contract(contract: FileContract, manifest: Manifest) -> FileContract:
    """The contract with the columns that drift added to an extract (drift policy `evolve`)."""
    known = {column.name for column in contract.columns}
    added = tuple(
        column.name for column in manifest.columns if column.name not in known and not column.name.startswith("_")
    )
    return contract.evolved(added) if added else contract


def _stamped(batch: pa.RecordBatch, schema: pa.Schema, delivery: Delivery) -> pa.RecordBatch:
    ids = pa.repeat(pa.scalar(delivery.id, pa.string()), batch.num_rows)
    return pa.RecordBatch.from_arrays([*batch.columns, ids], schema=schema)


def _renamed(rejects: pa.RecordBatch) -> pa.RecordBatch:
    return rejects.rename_columns(["record_number", "column_name", "reason", "raw_text"])


def _disagreement(body: bytes, name: str, reader: DeliveryReader) -> str | None:
    """How the file differs from its manifest, or None. Raises ContractViolation for a manifest that is no object."""
    try:
        given = json.loads(body).items()
    except (ValueError, AttributeError, RecursionError):
        raise ContractViolation(
            f"the manifest {name} is not a JSON object; expected for example"
            ' {"rows": 1200, "sha256": "…"}; send the file and a correct manifest again'
        ) from None
    stated = {field: value for field, value in given if field in ("rows", "bytes", "sha256")}
    found = {"rows": reader.rows_read, "bytes": reader.content_bytes, "sha256": reader.content_sha256}
    wrong = [f"{field} {stated[field]}, found {found[field]}" for field in stated if stated[field] != found[field]]
    return f"the manifest states {'; '.join(wrong)}; send the file again" if wrong else None
