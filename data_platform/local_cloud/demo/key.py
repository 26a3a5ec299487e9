"""The answer key: the expected outcome of every file that the demo drops, and the expected tables and marts.

It follows from the defects that were planted, never from reading the files. Other modules make the files.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

KEY_FILE = "answer_key.json"
Outcome = Literal["loaded", "duplicate", "superseded", "quarantined"]
# A file's expected outcome on its own. Whether a good file is a duplicate or superseded depends on other files.
Planted = Literal["good", "quarantined", "unmatched", "pending"]
RejectReason = Literal[
    "encoding", "fields", "missing", "type", "range", "digits", "nonexistent_time", "boolean", "json"
]
# The check `deliveries` warns about files with fewer rows than this share of their feed's median.
MIN_VOLUME = 0.7


class _Plain(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PlantedReject(_Plain):
    """A row that must become a reject. `record`: the data record, from 1, or the sheet's row in a workbook. `column`:
    None if the whole row is bad."""

    record: int
    column: str | None
    reason: RejectReason


class Drop(_Plain):
    """One upload. `path` and `companion` (its manifest) are below the output folder.

    For a good file, `rows_read` = `rows_loaded` + `len(rejects)`; also for a duplicate, though it loads no rows. For a
    quarantined, unmatched or pending file, all are 0.
    """

    wave: int
    partner: str
    feed: str | None
    path: str
    planted: Planted
    bytes: int
    sha256: str
    partition: str | None = None
    companion: str | None = None
    rows_read: int = 0
    rows_loaded: int = 0
    rejects: tuple[PlantedReject, ...] = ()
    defect: str = ""

    @property
    def file_name(self) -> str:
        """The name that the partner gives the file."""
        return self.path.rsplit("/", 1)[-1]


class FeedTotals(_Plain):
    """A feed's deliveries by outcome, and the rows of its finally loaded deliveries."""

    landed: int
    loaded: int
    duplicate: int
    superseded: int
    quarantined: int
    rows_read: int
    rows_loaded: int
    rejects: int


class TableState(_Plain):
    """All rows of a table of the register at a wave, in a file below the output folder."""

    wave: int
    table: str
    path: str
    sha256: str


class StoredTables(_Plain):
    """What a web API holds, in a file below the output folder. `name`: of the API's double."""

    name: str
    path: str
    sha256: str


class PlantedRow(_Plain):
    """A row of a database that must become a reject. `row`: its key; `column`: the first one that is wrong."""

    row: str
    column: str


class TableTotals(_Plain):
    """How many extracts a table consists of, and the rows that were read into these. `rejected` has a row once for each
    read."""

    current: int
    rows_read: int
    rows_loaded: int
    rejects: int
    rejected: tuple[PlantedRow, ...]


class AnswerKey(_Plain):
    """All expected results of the demo.

    `outcomes`: the final outcome of each drop, in order (None: it stays in inbound). `totals`: a feed's counts after
    one round; `totals_again`: after all files were dropped a second time, in the same waves. `states`: what the
    register holds; `stored`: what the web APIs hold; `databases`: the counts of the feeds of both, and of the addresses
    that are geocoded; `geocoded`: how many addresses have each status. These, `tables` (rows) and `marts` are the same
    after both rounds. `missed`: the start of the hour or day whose file is missing. `small`: loaded files with fewer
    rows than MIN_VOLUME of their feed's median. `published`: the rows of each dataset. `instants`: start and end of
    parking sessions with an ambiguous wall time.
    """

    seed: int
    meters: int
    sessions_a_day: int
    drops: tuple[Drop, ...]
    outcomes: tuple[Outcome | None, ...]
    totals: dict[str, FeedTotals]
    totals_again: dict[str, FeedTotals]
    states: tuple[TableState, ...]
    stored: tuple[StoredTables, ...]
    databases: dict[str, TableTotals]
    geocoded: dict[str, dict[str, int]]
    tables: dict[str, int]
    missed: dict[str, datetime]
    small: tuple[str, ...]
    instants: dict[str, tuple[str, str]]
    marts: dict[str, Any]
    published: dict[str, int] = {}

    @property
    def waves(self) -> list[list[Drop]]:
        """The drops wave by wave. A wave is dropped after all files of the one before are settled. Within a wave, the
        order makes no difference."""
        last = max(drop.wave for drop in self.drops)
        return [[drop for drop in self.drops if drop.wave == wave] for wave in range(1, last + 1)]

    @property
    def register(self) -> list[list[TableState]]:
        """The register wave by wave. A wave is written after the one before was read."""
        return [[state for state in self.states if state.wave == wave] for wave in range(1, len(self.waves) + 1)]

    @property
    def stays(self) -> list[Drop]:
        """The files that stay in inbound: no feed matches them, or their manifest is missing."""
        return [drop for drop in self.drops if drop.planted in ("unmatched", "pending")]

    def write(self, folder: Path) -> None:
        """Writes `answer_key.json`."""
        (folder / KEY_FILE).write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> AnswerKey:
        """Reads `answer_key.json`."""
        return cls.model_validate_json((folder / KEY_FILE).read_text(encoding="utf-8"))


def outcomes(drops: Sequence[Drop], merged: Mapping[str, Collection[str]] | None = None) -> list[Outcome | None]:
    """The outcomes of drops that are settled one after the other. A drop with the content of a loaded one of the same
    feed and partition is a `duplicate`, unless rows of that one were overwritten since. A drop with the name of a
    loaded one, but other content, makes that one `superseded`. A quarantined file supersedes nothing. `merged`: the
    keys of the rows of each path, in feeds where rows with the same key overwrite each other."""
    ends: list[Outcome | None] = []
    merged = merged or {}
    for drop in drops:
        if drop.planted != "good":
            ends.append("quarantined" if drop.planted == "quarantined" else None)
            continue
        loaded = [at for at, end in enumerate(ends) if end == "loaded" and drops[at].feed == drop.feed]
        last = {key: at for at in loaded for key in merged.get(drops[at].path, ())}
        whole = [at for at in loaded if all(last[key] == at for key in merged.get(drops[at].path, ()))]
        if any((drops[at].sha256, drops[at].partition) == (drop.sha256, drop.partition) for at in whole):
            ends.append("duplicate")
            continue
        for at in loaded:
            if drops[at].file_name == drop.file_name:
                ends[at] = "superseded"
        ends.append("loaded")
    return ends


def totals(drops: Iterable[Drop], ends: Iterable[Outcome | None]) -> dict[str, FeedTotals]:
    """Each feed's counts, by `<partner>/<feed>`."""
    settled = [(drop, end) for drop, end in zip(drops, ends, strict=True) if end is not None]
    found: dict[str, FeedTotals] = {}
    for feed in dict.fromkeys(drop.feed for drop, _ in settled if drop.feed):
        own = [(drop, end) for drop, end in settled if drop.feed == feed]
        counts = Counter(end for _, end in own)
        rows = [drop for drop, end in own if end == "loaded"]
        found[feed] = FeedTotals(
            landed=len(own),
            loaded=counts["loaded"],
            duplicate=counts["duplicate"],
            superseded=counts["superseded"],
            quarantined=counts["quarantined"],
            rows_read=sum(drop.rows_read for drop in rows),
            rows_loaded=sum(drop.rows_loaded for drop in rows),
            rejects=sum(len(drop.rejects) for drop in rows),
        )
    return found


def small_files(drops: Sequence[Drop], ends: Sequence[Outcome | None]) -> tuple[str, ...]:
    """`<partner>/<file>` of the loaded files with far fewer rows than usual for their feed."""
    loaded = [drop for drop, end in zip(drops, ends, strict=True) if end == "loaded"]
    medians = {
        feed: statistics.median(drop.rows_read for drop in loaded if drop.feed == feed)
        for feed in {drop.feed for drop in loaded}
    }
    return tuple(
        f"{drop.partner}/{drop.file_name}" for drop in loaded if drop.rows_read < MIN_VOLUME * medians[drop.feed]
    )
