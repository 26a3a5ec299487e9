"""The manifest that commits an extract, and the keys of everything in it. Plain data and JSON; no I/O."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

VERSION = 1
KEYS = "keys"
"""In an extract's origin: true if it holds its source table's keys, and no rows for the feed's table."""
MANIFEST_NAME = "manifest.json"
ROOT = "extracts"


class ManifestError(Exception):
    """A manifest can't be read; the message names the object and the fault."""


@dataclass(frozen=True, slots=True)
class ExtractKey:
    """Which extract. `extract_id` is deterministic for what is being extracted, so that a retry finds its own
    work; `partition` is None for a feed without partitions.
    """

    source: str
    table: str
    extract_id: str
    partition: str | None = None

    def __post_init__(self) -> None:
        for name in ("source", "table", "extract_id", "partition"):
            value = getattr(self, name)
            if (not value or "/" in value) and not (name == "partition" and value is None):
                raise ValueError(f"{name} {value!r} can't be part of an object key: expected text without a slash")

    @property
    def prefix(self) -> str:
        """`extracts/<source>/<table>/<partition or all>/<extract_id>/`."""
        return f"{ROOT}/{self.source}/{self.table}/{self.partition or 'all'}/{self.extract_id}/"

    @property
    def manifest_path(self) -> str:
        """The key of its manifest. The extract exists when that object does."""
        return self.prefix + MANIFEST_NAME


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One Parquet object: its key in the bucket, rows, size in bytes, and SHA-256 in hex."""

    path: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class ColumnEntry:
    """One column of the Parquet files: its name and Arrow's text for its type, as `timestamp[us, tz=UTC]`."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """The contents of an extract and its position in the source. Times are UTC.

    `position_from` and `position_to` are JSON values. `origin` holds what the source says about
    itself (of a file: its name and version). `effective_at`: when the data was true in its source. `snapshot_id` and
    `parts`: the snapshot that it is a part of, and how many parts that has. `refused`: why it may not be loaded.
    """

    extract_id: str
    source: str
    table: str
    partition: str | None
    contract_hash: str
    columns: tuple[ColumnEntry, ...]
    files: tuple[FileEntry, ...]
    rows: int
    rejects: int
    rejects_file: FileEntry | None
    position_from: Any
    position_to: Any
    started_at: datetime
    committed_at: datetime
    run_id: str | None
    origin: Mapping[str, Any] = field(default_factory=dict)
    effective_at: datetime | None = None
    snapshot_id: str | None = None
    parts: int | None = None
    refused: str | None = None
    version: int = VERSION

    @property
    def key(self) -> ExtractKey:
        """The key of its extract."""
        return ExtractKey(self.source, self.table, self.extract_id, self.partition)

    @property
    def holds_keys(self) -> bool:
        """Whether it holds the keys of its source's table: rows with other keys are deleted. Its `rows` are 0."""
        return self.origin.get(KEYS) is True

    @property
    def total_bytes(self) -> int:
        """The size of all its Parquet files."""
        return sum(file.bytes for file in self.files)

    def to_json(self) -> str:
        """A JSON object with ISO 8601 times, one stable spelling for one manifest."""
        return json.dumps(asdict(self), default=lambda value: value.isoformat(), indent=1, sort_keys=True)

    @classmethod
    def from_json(cls, text: str | bytes) -> Manifest:
        """The manifest that `to_json` wrote. Raises ManifestError."""
        try:
            values = json.loads(text)
            if values["version"] != VERSION:
                raise ManifestError(
                    f"manifest version {values['version']!r}, where this release reads {VERSION}; deploy the"
                    " release that wrote it"
                )
            rejects_file, effective_at = values["rejects_file"], values.get("effective_at")
            return cls(
                **{
                    **values,
                    "columns": tuple(ColumnEntry(**column) for column in values["columns"]),
                    "files": tuple(FileEntry(**file) for file in values["files"]),
                    "rejects_file": None if rejects_file is None else FileEntry(**rejects_file),
                    "started_at": datetime.fromisoformat(values["started_at"]),
                    "committed_at": datetime.fromisoformat(values["committed_at"]),
                    "effective_at": effective_at and datetime.fromisoformat(effective_at),
                }
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ManifestError(f"not a manifest: {error!r}") from error
