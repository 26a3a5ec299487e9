"""Writes rows to numbered Parquet files of bounded size, and encodes and uploads them in the background.

`writer.py` names the files and commits them.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import IO, Any

import obstore
import pyarrow as pa
import pyarrow.parquet as pq
from obstore.store import ObjectStore

from data_platform.lake.manifest import FileEntry

# A row group is written once this much is pending: large enough to compress and scan well, small enough to keep
# memory flat, however small the caller's batches are.
_ROW_GROUP_BYTES = 16 * 2**20
_ROW_GROUP_ROWS = 500_000
# A large file is sent in chunks, of which so many are in memory.
_UPLOAD_CHUNK = 8 * 2**20
_CHUNKS_AT_ONCE = 2
_UPLOADS_AT_ONCE = 2
# A part's first rows decide which of its columns get a dictionary: those in which a value occurs so often on average.
_SAMPLE_ROWS = 5_000
_REPEATS = 10


class Uploads:
    """Puts finished files, two at a time, while the caller writes the next."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._pool = ThreadPoolExecutor(_UPLOADS_AT_ONCE, thread_name_prefix="upload")

    def put(self, path: str, file: IO[bytes], rows: int) -> Future[FileEntry]:
        """Puts the file under that key and closes it."""
        return self._pool.submit(self._put, path, file, rows)

    def close(self) -> None:
        """Cancels uploads that haven't started and waits for the others."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _put(self, path: str, file: Any, rows: int) -> FileEntry:
        with file:
            size = file.seek(0, 2)
            file.seek(0)
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            file.seek(0)
            obstore.put(
                self._store,
                path,
                file,
                use_multipart=size > _UPLOAD_CHUNK,
                chunk_size=_UPLOAD_CHUNK,
                max_concurrency=_CHUNKS_AT_ONCE,
            )
        return FileEntry(path, rows, size, sha256)


class Parts:
    """Rows of one schema. `path` gives the key of part 0, 1, …; a part is closed when it has `part_bytes`
    (never, if None), and is spooled on disk so that memory stays flat. One row group is encoded while the caller makes
    the next."""

    def __init__(
        self, uploads: Uploads, path: Callable[[int], str], schema: pa.Schema, *, part_bytes: int | None
    ) -> None:
        self._uploads = uploads
        self._path = path
        self._schema = schema
        self._part_bytes = part_bytes
        self._pending: list[pa.RecordBatch] = []
        self._pending_bytes = self._pending_rows = self._part_rows = 0
        self._file: IO[bytes] | None = None
        self._parquet: pq.ParquetWriter | None = None
        self._done: list[Future[FileEntry]] = []
        self._encoder = ThreadPoolExecutor(1, thread_name_prefix="encode")
        self._encoding: Future[None] | None = None

    def add(self, batch: pa.RecordBatch) -> None:
        """Adds rows; raises what writing or uploading earlier ones raised."""
        self._pending.append(batch)
        self._pending_rows += batch.num_rows
        self._pending_bytes += batch.nbytes
        if self._pending_bytes >= _ROW_GROUP_BYTES or self._pending_rows >= _ROW_GROUP_ROWS:
            self._wait()  # so that no more than two row groups are in memory
            self._encoding = self._encoder.submit(self._encode, self._taken())

    def finish(self) -> tuple[FileEntry, ...]:
        """Closes the last part and waits for every upload; raises what writing or uploading raised."""
        self._wait()
        self._encode(self._taken())
        self._close()
        return tuple(upload.result() for upload in self._done)

    def discard(self) -> None:
        """Drops rows that aren't uploaded."""
        self._encoder.shutdown(wait=True, cancel_futures=True)
        self._pending.clear()
        if self._parquet is not None and self._file is not None:
            self._parquet.close()
            self._file.close()
        self._file = self._parquet = None

    def _taken(self) -> pa.Table:
        """The pending rows, which are pending no more."""
        table = pa.Table.from_batches(self._pending, schema=self._schema)
        self._pending.clear()
        self._pending_bytes = self._pending_rows = 0
        return table

    def _wait(self) -> None:
        encoding, self._encoding = self._encoding, None
        if encoding is not None:
            encoding.result()

    def _encode(self, table: pa.Table) -> None:
        if table.num_rows == 0:
            return
        if self._parquet is None or self._file is None:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - the upload or discard() closes it
            # Snowflake documents no support for version 2 data pages or delta encodings: plain and dictionary only.
            self._parquet = pq.ParquetWriter(
                self._file,
                self._schema,
                compression="zstd",
                version="2.6",
                data_page_version="1.0",
                coerce_timestamps="us",
                use_dictionary=_repeating_columns(table) or False,  # type: ignore[arg-type]  # its stubs know no names
            )
        self._parquet.write_table(table, row_group_size=_ROW_GROUP_ROWS)
        self._part_rows += table.num_rows
        if self._part_bytes is not None and self._file.tell() >= self._part_bytes:
            self._close()

    def _close(self) -> None:
        if self._parquet is None or self._file is None:
            return
        self._parquet.close()
        # Parts wait on disk: don't let them pile up behind a slow network.
        waiting = [upload for upload in self._done if not upload.done()]
        if len(waiting) >= _UPLOADS_AT_ONCE:
            waiting[0].result()
        self._done.append(self._uploads.put(self._path(len(self._done)), self._file, self._part_rows))
        self._file = self._parquet = None
        self._part_rows = 0


def _repeating_columns(table: pa.Table) -> list[str]:
    """Columns in whose first rows values repeat. Encoding any other by dictionary costs CPU, and bytes too."""
    sample = table.slice(0, _SAMPLE_ROWS)
    return [
        name
        for name, column in zip(sample.column_names, sample.columns, strict=True)
        if len(column.unique()) * _REPEATS <= sample.num_rows
    ]
