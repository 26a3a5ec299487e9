"""Remembers on disk which commits were served, for a start while the remote is down or its head is bad. One file per
set of refs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data_platform.code.follow import Followed


class Memory:
    """The file in `root` for the refs of these sources."""

    def __init__(self, root: Path, sources: Sequence[Followed]) -> None:
        refs = " ".join(f"{one.repository.remote.url} {one.repository.remote.ref}" for one in sources)
        self._file = root / f"served-{hashlib.sha256(refs.encode()).hexdigest()[:12]}.json"

    def keep(self, sources: Sequence[Followed]) -> None:
        """Writes the served commits, atomically."""
        known = {
            one.name: {"ref": one.repository.remote.ref, "kind": one.kind, "served": one.served} for one in sources
        }
        self._file.parent.mkdir(parents=True, exist_ok=True)
        aside = self._file.with_suffix(".new")
        aside.write_text(json.dumps(known))
        aside.replace(self._file)

    def recall(self, sources: Sequence[Followed]) -> None:
        """Restores `served` and `kind` of the sources, unless the file is missing or damaged."""
        try:
            known: dict[str, Any] = json.loads(self._file.read_text())
            for one in sources:
                one.served, one.kind = known[one.name]["served"], known[one.name]["kind"]
        except (OSError, ValueError, KeyError, TypeError):
            return
