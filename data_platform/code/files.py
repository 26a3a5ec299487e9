"""The files of this checkout while somebody edits them: notices that code, `defs.yaml` or dbt files have changed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

LOOK_SECONDS = 0.5
_FOLDERS = ("data_platform", "dbt_project")
_ENDINGS = (".py", ".yaml", ".yml", ".sql", ".csv", ".md")
_WRITTEN_BY_TOOLS = frozenset(("target", "logs", "dbt_packages", "__pycache__"))


class Files:
    """The code and the dbt project below `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._before = self._seen = dict(self._read())

    def changed(self) -> list[str]:
        """The files that were written, added or removed since the last call that returned some, and not since the last
        call: an editor or a generator may be writing several."""
        now = dict(self._read())
        still, self._seen = now == self._seen, now
        if not still or now == self._before:
            return []
        before, self._before = self._before, now
        return sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))

    def _read(self) -> Iterator[tuple[str, tuple[int, int]]]:
        for folder in _FOLDERS:
            for path, folders, files in os.walk(self._root / folder):
                folders[:] = [name for name in folders if name not in _WRITTEN_BY_TOOLS]
                for name in files:
                    if name.endswith(_ENDINGS):
                        file = Path(path, name)
                        try:
                            found = file.stat()
                        except FileNotFoundError:
                            continue
                        yield str(file.relative_to(self._root)), (found.st_mtime_ns, found.st_size)
