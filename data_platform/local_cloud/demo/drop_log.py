"""The log of the files that the demo has dropped, so that a second run drops nothing twice."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from data_platform.local_cloud.demo.key import Drop


class DropLog:
    """The files that have been dropped, one JSON line each, with path and content hash."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def undropped(self, drops: Iterable[Drop]) -> list[Drop]:
        """The drops whose current content has not been dropped yet."""
        noted = set(self._path.read_text(encoding="utf-8").splitlines()) if self._path.exists() else set()
        return [drop for drop in drops if self._line(drop) not in noted]

    def note(self, drop: Drop) -> None:
        """Records a drop."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as log:
            # Begin a new line: a killed process may have left half of one.
            log.write(f"\n{self._line(drop)}\n")

    @staticmethod
    def _line(drop: Drop) -> str:
        return json.dumps([drop.path, drop.sha256])
