"""What a target of publications is, and the stamp that it keeps beside a dataset."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from data_platform.publish.rows import Rows


class PublicationFailed(Exception):
    """A dataset wasn't published, and the published version is the one that was there. The message names the dataset,
    what was expected, and what to do."""


class GateFailed(PublicationFailed):
    """The rows are not fit to be published. The message names the gate."""


@dataclass(frozen=True)
class Stamp:
    """The receipt of a published version. The target keeps it with the data and replaces both at once, so it says what
    is published even if the run was killed before it could record anything.

    `version`: the first 12 digits of `fingerprint`, which changes with the rows and with how they are published.
    `published_at`: ISO 8601, UTC. `source`: the mart. `query_id`: Snowflake's, of the query that read the rows: the
    state of the mart. `withdrawn`: the fingerprint of the version that a rollback took down, which isn't published
    again."""

    version: str
    fingerprint: str
    rows: int
    published_at: str
    source: str
    query_id: str
    run_id: str
    withdrawn: str | None = None

    def to_json(self) -> str:
        """The stamp as the target keeps it."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str | None) -> Stamp | None:
        """The stamp, or None if the text is none of ours: another tool made the dataset."""
        try:
            return cls(**json.loads(text or ""))
        except (ValueError, TypeError):
            return None


@dataclass(frozen=True)
class Published:
    """What a target shows now: its stamp (None: another tool made it), and its number of rows."""

    stamp: Stamp | None
    rows: int


class Target(Protocol):
    """Where a dataset is published. One process at a time may work on a dataset: its pool sees to that."""

    name: str
    definition: str
    """How the dataset is published, as text: a change of it publishes the dataset again."""

    @property
    def url(self) -> str:
        """Where people find the dataset."""
        ...

    def current(self) -> Published | None:
        """What is published; None if nothing is. Removes what an interrupted publication left behind."""
        ...

    def put(self, rows: Rows, stamp: Stamp) -> None:
        """Publishes the rows with their stamp, all or nothing, and keeps the version before for `roll_back`. Raises
        PublicationFailed."""
        ...

    def roll_back(self, run_id: str) -> tuple[Stamp, Stamp]:
        """Publishes the version before again; the present one becomes the version before. Returns the stamps of the
        version that is published now and of the one that was. Raises PublicationFailed if there is none."""
        ...
