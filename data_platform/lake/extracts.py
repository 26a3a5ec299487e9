"""The lake: finds, reads and deletes extracts, and opens writers of new ones. `writer.py` writes them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from io import BytesIO
from itertools import chain
from typing import Any, NamedTuple

import obstore
import pyarrow as pa
import pyarrow.parquet as pq
from obstore.store import ObjectStore

from data_platform.lake.manifest import ROOT, ExtractKey, Manifest, ManifestError
from data_platform.lake.writer import ExtractWriter, read_manifest

UNLOADED = "unloaded"
"""The folder of marks: an empty object for each extract that isn't loaded yet."""
PART_BYTES = 64 * 2**20
"""A part's target size: Snowflake loads files of up to 100 MB, compressed, best."""


class StoredObject(NamedTuple):
    """An object as a listing shows it. `size` in bytes."""

    path: str
    size: int
    modified: datetime


class Lake:
    """The extracts in one bucket. `part_bytes` is the size at which a Parquet part is closed and uploaded.

    >>> from obstore.store import MemoryStore
    >>> lake = Lake(MemoryStore())
    >>> key = ExtractKey("city", "permits", extract_id="2026-03-07")
    >>> rows = pa.record_batch({"permit": ["A1", "A2"]})
    >>> lake.write_extract(key, rows.schema, [rows], contract_hash="1f").rows
    2
    """

    def __init__(self, store: ObjectStore, *, part_bytes: int = PART_BYTES) -> None:
        self.store = store
        self.part_bytes = part_bytes

    def extract(
        self,
        key: ExtractKey,
        schema: pa.Schema,
        *,
        contract_hash: str,
        position_from: Any = None,
        run_id: str | None = None,
        origin: Mapping[str, Any] | None = None,
        reject_columns: Sequence[str] = (),
        effective_at: datetime | None = None,
        snapshot_id: str | None = None,
        parts: int | None = None,
    ) -> ExtractWriter:
        """A writer of that extract, for a `with` block; left without `commit()`, its parts are deleted.

        `schema` is that of the batches to write; `_extract_id` and `_extracted_at` are added after its columns.
        Where an earlier try has committed the extract, `writer.committed` is its manifest: the source need not be
        read again, writes are ignored, and `commit()` returns that manifest. `reject_columns` names values of `origin`
        that each reject carries too. `effective_at`: when the data is true in its source. `snapshot_id` and `parts`:
        the snapshot that it is a part of, and how many parts that has.
        """
        return ExtractWriter(
            self.store,
            key,
            schema,
            part_bytes=self.part_bytes,
            contract_hash=contract_hash,
            position_from=position_from,
            run_id=run_id,
            origin=origin or {},
            reject_columns=reject_columns,
            effective_at=effective_at,
            snapshot_id=snapshot_id,
            parts=parts,
        )

    def write_extract(
        self,
        key: ExtractKey,
        schema: pa.Schema,
        batches: Iterable[pa.RecordBatch],
        *,
        rejects: Iterable[pa.RecordBatch] = (),
        contract_hash: str,
        position_from: Any = None,
        position_to: Any = None,
        run_id: str | None = None,
        origin: Mapping[str, Any] | None = None,
        reject_columns: Sequence[str] = (),
        **about: Any,
    ) -> Manifest:
        """Writes and commits one extract, or returns the manifest of an earlier try, reading no batch. `about`: as for
        `extract`."""
        with self.extract(
            key,
            schema,
            contract_hash=contract_hash,
            position_from=position_from,
            run_id=run_id,
            origin=origin,
            reject_columns=reject_columns,
            **about,
        ) as writer:
            if writer.committed is None:
                for batch in batches:
                    writer.write(batch)
                for batch in rejects:
                    writer.reject(batch)
            return writer.commit(position_to=position_to)

    def read_manifest(self, key: ExtractKey) -> Manifest | None:
        """The extract's manifest, or None where there is no such extract. Raises ManifestError."""
        return read_manifest(self.store, key)

    def mark_unloaded(self, key: ExtractKey) -> None:
        """Remembers an extract that is about to be committed, until `mark_loaded`. So what isn't loaded yet is found
        without listing all that ever was."""
        obstore.put(self.store, _mark(key), b"")

    def mark_loaded(self, keys: Iterable[ExtractKey]) -> None:
        """Forgets extracts that are loaded."""
        self.delete(_mark(key) for key in keys)

    def unloaded(self, source: str, table: str) -> list[Manifest]:
        """The committed extracts of a feed that nobody has marked as loaded, in the order of their data."""
        marks = self.objects(f"{UNLOADED}/{source}/{table}/")
        found = [manifest for mark in marks if (manifest := self.read_manifest(key_of_mark(mark.path))) is not None]
        return sorted(found, key=lambda each: (each.effective_at or each.started_at, each.started_at))

    def read_rows(self, manifest: Manifest, *, columns: list[str] | None = None, limit: int | None = None) -> pa.Table:
        """The extract's rows, in memory: for previews and tests. Raises ManifestError where a file's SHA-256 isn't the
        manifest's."""
        tables = []
        missing = limit
        for file in manifest.files:
            if missing is not None and missing <= 0:
                break
            table = self._table(file.path, file.sha256, columns, missing)
            missing = None if missing is None else missing - table.num_rows
            tables.append(table)
        if tables:
            return pa.concat_tables(tables)
        return pa.table({column.name: [] for column in manifest.columns if not columns or column.name in columns})

    def read_rejects(self, manifest: Manifest) -> pa.Table | None:
        """The rows that broke the contract (`writer.rejects_file_schema`), or None where there are none."""
        file = manifest.rejects_file
        return None if file is None else self._table(file.path, file.sha256, None)

    def delete(self, paths: Iterable[str]) -> None:
        """Deletes objects by key."""
        paths = list(paths)
        if paths:
            obstore.delete(self.store, paths)

    def objects(self, prefix: str) -> Iterator[StoredObject]:
        """The objects below a prefix, in the order of their keys."""
        pages = chain.from_iterable(obstore.list(self.store, prefix))
        return (StoredObject(str(item["path"]), int(item["size"]), item["last_modified"]) for item in pages)

    def files_of(self, manifest_path: str) -> set[str]:
        """The keys of the files that a manifest commits."""
        return _files_of(bytes(obstore.get(self.store, manifest_path).bytes()))

    def _table(self, path: str, sha256: str, columns: list[str] | None, limit: int | None = None) -> pa.Table:
        content = bytes(obstore.get(self.store, path).bytes())
        if hashlib.sha256(content).hexdigest() != sha256:
            raise ManifestError(f"{path} is not the file that its manifest commits (SHA-256 differs); extract again")
        if limit is None:
            return pq.read_table(BytesIO(content), columns=columns)
        batches: list[pa.RecordBatch] = []
        with pq.ParquetFile(BytesIO(content)) as file:  # a whole part may be large in memory
            for batch in file.iter_batches(limit, columns=columns):
                batches.append(batch)
                if sum(each.num_rows for each in batches) >= limit:
                    break
        return pa.Table.from_batches(batches).slice(0, limit)


def _files_of(manifest: bytes) -> set[str]:
    values = json.loads(manifest)
    return {file["path"] for file in [*values["files"], values["rejects_file"]] if file}


def _mark(key: ExtractKey) -> str:
    return key.prefix.replace(ROOT, UNLOADED, 1).rstrip("/")


def key_of_mark(path: str) -> ExtractKey:
    """The extract that a mark is of."""
    _, source, table, partition, extract_id = path.split("/")
    return ExtractKey(source, table, extract_id, None if partition == "all" else partition)
