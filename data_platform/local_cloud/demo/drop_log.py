"""The log of what the demo has dropped and written, so that a second run does nothing twice."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from data_platform.local_cloud.demo.key import Drop, StoredTables, TableState

Item = TypeVar("Item", Drop, TableState, StoredTables)


class DropLog:
    """The files that have been dropped or written to a table or web API, one JSON line each, with path and hash."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def undropped(self, drops: Iterable[Item]) -> list[Item]:
        """Those whose current content is not in the log yet."""
        noted = set(self._path.read_text(encoding="utf-8").splitlines()) if self._path.exists() else set()
        return [drop for drop in drops if self._line(drop) not in noted]

    def note(self, drop: Drop | TableState | StoredTables) -> None:
        """Records that it is done."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as log:
            # Begin a new line: a killed process may have left half of one.
            log.write(f"\n{self._line(drop)}\n")

    @staticmethod
    def _line(drop: Drop | TableState | StoredTables) -> str:
        return json.dumps([drop.path, drop.sha256])
