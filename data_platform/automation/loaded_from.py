"""Whether a code location's feeds are those that its files declare. While somebody edits the files and the code was not
loaded again, they aren't: nothing may be said of a file that matches no feed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import dagster as dg

_FOLDER, _STATE = "data_platform/defs", "data_platform/defs_state"


class LoadedFrom(NamedTuple):
    """The folder of the definitions, and the state of its files when they were read."""

    folder: Path
    state: str

    @classmethod
    def now(cls, folder: Path) -> LoadedFrom:
        """As the files are now. Call it before they are read."""
        return cls(folder, _state_of(folder))

    @classmethod
    def of(cls, metadata: Mapping[str, Any]) -> LoadedFrom | None:
        """What a repository's metadata says; None if it says nothing."""
        texts = [getattr(metadata.get(name), "value", None) for name in (_FOLDER, _STATE)]
        return cls(Path(str(texts[0])), str(texts[1])) if all(texts) else None

    def metadata(self) -> dict[str, dg.MetadataValue[Any]]:
        """For the definitions' metadata."""
        return {_FOLDER: dg.MetadataValue.text(str(self.folder)), _STATE: dg.MetadataValue.text(self.state)}

    @property
    def changed(self) -> bool:
        """Whether the files have changed since."""
        return _state_of(self.folder) != self.state


def _state_of(folder: Path) -> str:
    """16 hex digits that change when a file of the folder is written, added or removed."""
    digest = hashlib.sha256()
    for path, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        for name in sorted(files):
            with suppress(FileNotFoundError):  # just removed
                found = Path(path, name).stat()
                digest.update(f"{path}/{name} {found.st_mtime_ns} {found.st_size}\n".encode())
    return digest.hexdigest()[:16]
