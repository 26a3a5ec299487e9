"""Writes one extract: record batches to zstd Parquet parts, then the manifest with a conditional put.

An attempt's parts carry its own token in their names, so a retry or a concurrent try never overwrites a
committed part. The first to put the manifest commits the extract; the parts of the others are deleted.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain
from types import TracebackType
from typing import Any

import obstore
import pyarrow as pa
from obstore.exceptions import AlreadyExistsError
from obstore.store import ObjectStore

from data_platform.contract import EXTRACT_ID, EXTRACTED_AT
from data_platform.lake.manifest import KEYS, ColumnEntry, ExtractKey, Manifest, ManifestError
from data_platform.lake.parts import Parts, Uploads

_METADATA: list[pa.Field[Any]] = [
    pa.field(EXTRACT_ID, pa.string(), False),
    pa.field(EXTRACTED_AT, pa.timestamp("us", tz="UTC"), False),
]
METADATA_SCHEMA = pa.schema(_METADATA)
"""The columns that every extract ends with."""

_REJECTS: list[pa.Field[Any]] = [
    pa.field("record_number", pa.int64(), False),
    pa.field("column_name", pa.string()),
    pa.field("reason", pa.string(), False),
    pa.field("raw_text", pa.string()),
]
REJECTS_SCHEMA = pa.schema(_REJECTS)
"""The schema of `ExtractWriter.reject`'s batches: one row per record that breaks the contract."""


def rejects_file_schema(further: Sequence[str] = ()) -> pa.Schema:
    """The schema of an extract's rejects file: whose they are, `further` text columns of the source's own, and
    REJECTS_SCHEMA."""
    owner = [pa.field("extract_id", pa.string(), False), *(pa.field(name, pa.string()) for name in further)]
    owner += [pa.field("source", pa.string(), False), pa.field("table_name", pa.string(), False)]
    return pa.schema([*owner, *_REJECTS])


class ExtractWriter:
    """Writes one extract; see `Lake.extract`. For one thread; uploads overlap with writing."""

    def __init__(
        self,
        store: ObjectStore,
        key: ExtractKey,
        schema: pa.Schema,
        *,
        part_bytes: int,
        contract_hash: str,
        position_from: Any,
        run_id: str | None,
        origin: Mapping[str, Any],
        reject_columns: Sequence[str],
        effective_at: datetime | None,
        snapshot_id: str | None,
        parts: int | None,
    ) -> None:
        self.key = key
        self.schema = pa.schema([*schema, *METADATA_SCHEMA])
        self.rows = 0
        self.rejects = 0
        self.started_at = datetime.now(UTC)
        self.committed: Manifest | None = read_manifest(store, key)
        self._store = store
        self._contract_hash = contract_hash
        self._position_from = position_from
        self._run_id = run_id
        self._origin = dict(origin)
        self._effective_at = effective_at
        self._snapshot_id = snapshot_id
        self._parts = parts
        self._attempt = secrets.token_hex(4)
        self._offered = False
        self._uploads = Uploads(store)
        self._row_parts = Parts(self._uploads, self._part_path, self.schema, part_bytes=part_bytes)
        self._further = tuple(reject_columns)
        self._rejects_schema = rejects_file_schema(self._further)
        self._reject_parts = Parts(self._uploads, self._rejects_path, self._rejects_schema, part_bytes=None)

    def write(self, batch: pa.RecordBatch) -> None:
        """Adds rows. Raises ValueError where the batch's columns aren't the extract's."""
        if self.committed is not None:
            return
        constants = [
            pa.repeat(pa.scalar(self.key.extract_id, pa.string()), batch.num_rows),
            pa.repeat(pa.scalar(self.started_at, METADATA_SCHEMA.field(1).type), batch.num_rows),
        ]
        own = list(self.schema)[: -len(METADATA_SCHEMA)]
        if batch.schema.names != [field.name for field in own] or batch.schema.types != [f.type for f in own]:
            raise ValueError(
                f"a batch for {self.key.source}/{self.key.table} has the columns"
                f" {_described(batch.schema)}; expected {_described(pa.schema(own))}"
            )
        self.rows += batch.num_rows
        self._row_parts.add(pa.RecordBatch.from_arrays([*batch.columns, *constants], schema=self.schema))

    def reject(self, batch: pa.RecordBatch) -> None:
        """Adds records that break the contract (REJECTS_SCHEMA)."""
        if self.committed is not None:
            return
        self.rejects += batch.num_rows
        further = (self._origin.get(name) for name in self._further)
        constants = (self.key.extract_id, *further, self.key.source, self.key.table)
        columns: list[pa.Array[Any]] = [pa.repeat(pa.scalar(value, pa.string()), batch.num_rows) for value in constants]
        columns += [batch.column(field.name).cast(field.type) for field in REJECTS_SCHEMA]
        self._reject_parts.add(pa.RecordBatch.from_arrays(columns, schema=self._rejects_schema))

    def commit(self, *, position_to: Any = None, refused: str | None = None) -> Manifest:
        """Puts the last parts, then the manifest where there is none yet. Returns the manifest that counts:
        this one, or that of a try that was faster. `refused`: why the extract may not be loaded."""
        if self.committed is not None:
            self.abort()
            return self.committed
        files = self._row_parts.finish()
        rejects_files = self._reject_parts.finish()
        manifest = Manifest(
            extract_id=self.key.extract_id,
            source=self.key.source,
            table=self.key.table,
            partition=self.key.partition,
            contract_hash=self._contract_hash,
            columns=tuple(ColumnEntry(field.name, str(field.type)) for field in self.schema),
            files=files,
            rows=0 if self._origin.get(KEYS) is True else self.rows,
            rejects=self.rejects,
            rejects_file=rejects_files[0] if rejects_files else None,
            position_from=self._position_from,
            position_to=position_to,
            started_at=self.started_at,
            committed_at=datetime.now(UTC),
            run_id=self._run_id,
            origin=self._origin,
            effective_at=self._effective_at,
            snapshot_id=self._snapshot_id,
            parts=self._parts,
            refused=refused,
        )
        text = manifest.to_json().encode()
        self._offered = True
        try:
            obstore.put(self._store, self.key.manifest_path, text, mode="create")
        except AlreadyExistsError:
            # A concurrent try was faster; or this put arrived, its answer was lost, and the client sent it again.
            winner = read_manifest(self._store, self.key)
            if winner is None:
                raise
            manifest = winner
        self.committed = manifest
        self._tidy(manifest)
        return manifest

    def abort(self) -> None:
        """Deletes this attempt's parts; a no-op after a commit. Leaving the `with` block does it. Parts whose manifest
        was put without a clear answer stay, as they may be committed; if not, they are orphans."""
        self._row_parts.discard()
        self._reject_parts.discard()
        self._uploads.close()
        if self.committed is None and not self._offered:
            mine = [path for path in self._paths() if attempt_of(path) == self._attempt]
            if mine:
                obstore.delete(self._store, mine)

    def __enter__(self) -> ExtractWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.abort()
        except Exception:
            if error is None:
                raise
            # The first error says more than that the parts could not be deleted: they are orphans now.

    def _tidy(self, manifest: Manifest) -> None:
        """Deletes files that the manifest doesn't name. Safe while another try writes: it can't commit any more."""
        kept = {file.path for file in manifest.files} | {self.key.manifest_path}
        if manifest.rejects_file is not None:
            kept.add(manifest.rejects_file.path)
        left = [path for path in self._paths() if path not in kept]
        if left:
            obstore.delete(self._store, left)

    def _part_path(self, number: int) -> str:
        return f"{self.key.prefix}part-{number:05}-{self._attempt}.parquet"

    def _rejects_path(self, number: int) -> str:
        return f"{self.key.prefix}rejects-{self._attempt}.parquet"

    def _paths(self) -> list[str]:
        return [str(item["path"]) for item in chain.from_iterable(obstore.list(self._store, self.key.prefix))]


def read_manifest(store: ObjectStore, key: ExtractKey) -> Manifest | None:
    """The extract's manifest, or None where there is none. Raises ManifestError."""
    try:
        content = bytes(obstore.get(store, key.manifest_path).bytes())
    except FileNotFoundError:
        return None
    try:
        return Manifest.from_json(content)
    except ManifestError as error:
        raise ManifestError(f"{key.manifest_path}: {error}") from error


def attempt_of(path: str) -> str:
    """The token of the attempt that wrote a part: `part-00000-<token>.parquet`."""
    return path.rpartition("-")[2].removesuffix(".parquet")


def _described(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name} {field.type}" for field in schema)
