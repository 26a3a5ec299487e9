"""Writes a partner's generated files to a folder and records the defects planted in each."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Generic, TypeVar

from data_platform.local_cloud.demo.key import Drop, Planted, PlantedReject

Facts = TypeVar("Facts")


@dataclass
class Shelf(Generic[Facts]):
    """The files of one feed, below `<folder>/wave-<n>/<partner>/`. `made` pairs each file with its valid rows, in the
    form from which the feed's module computes the marts."""

    folder: Path
    partner: str
    feed: str
    made: list[tuple[Drop, Facts | None]] = field(default_factory=list)

    def put(
        self,
        wave: int,
        name: str,
        content: bytes,
        *,
        day: date | None = None,
        planted: Planted = "good",
        loaded: int = 0,
        rejects: Sequence[PlantedReject] = (),
        facts: Facts | None = None,
        manifest: dict[str, Any] | None = None,
        defect: str = "",
    ) -> None:
        """Writes a file and, if given, its manifest."""
        path = f"wave-{wave}/{self.partner}/{name}"
        companion = f"{path}.manifest.json" if manifest is not None else None
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        if companion is not None:
            (self.folder / companion).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
        good = planted == "good"
        drop = Drop(
            wave=wave,
            partner=self.partner,
            feed=None if planted == "unmatched" else f"{self.partner}/{self.feed}",
            path=path,
            planted=planted,
            bytes=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            partition=day.isoformat() if day else None,
            companion=companion,
            rows_read=loaded + len(rejects) if good else 0,
            rows_loaded=loaded if good else 0,
            rejects=tuple(rejects) if good else (),
            defect=defect,
        )
        self.made.append((drop, facts))

    def again(self, wave: int, name: str, as_name: str, *, defect: str) -> None:
        """Drops a file of the first wave once more, under its own or another name, in a later wave."""
        drop, facts = next(pair for pair in self.made if pair[0].file_name == name and pair[0].wave == 1)
        manifest = None
        if drop.companion is not None:
            manifest = json.loads((self.folder / drop.companion).read_text(encoding="utf-8"))
        self.put(
            wave,
            as_name,
            (self.folder / drop.path).read_bytes(),
            day=date.fromisoformat(drop.partition) if drop.partition else None,
            loaded=drop.rows_loaded,
            rejects=drop.rejects,
            facts=facts,
            manifest=manifest,
            defect=defect,
        )
