"""A feed of any kind of source, and what its source declares for all its feeds. The kinds add their own: `files.py`.

A feed's declaration is what its YAML says. Its spec is the declaration with what the folders and the source add.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from data_platform.contract import EXTRACT_COLUMNS, HISTORY_COLUMNS, Column, Contract, TimeZone
from data_platform.feeds.compute import Compute

LoadMode = Literal["append", "merge", "replace", "history"]
WHOLE: tuple[LoadMode, ...] = ("replace", "history")
"""The load modes in which an extract, or the parts of a snapshot, hold all rows of the table or of a partition."""


class Declared(BaseModel):
    """A part of a `defs.yaml`: fields that aren't listed are mistakes."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DayPartition(Declared):
    """A feed in days, from `start` on; days are those of the source's time zone."""

    by: Literal["day"] = "day"
    start: date


class Expected(Declared):
    """How often data is expected: for every hour or day of the source's local time, at the latest `within_minutes`
    after that hour or day has ended."""

    every: Literal["hour", "day"]
    within_minutes: int = Field(60, ge=0)


class RejectLimit(Declared):
    """How many rows of what is read at once may break the contract. Past either limit a delivery is quarantined, and
    nothing that was read of a table is kept.

    `rows`: a number of rows. `share`: of the rows read, 0 to 1. Unset: that limit doesn't apply.
    """

    rows: int | None = Field(None, ge=0)
    share: float | None = Field(0.05, ge=0, le=1)

    def exceeded(self, rejected: int, read: int) -> str | None:
        """Why the limit is exceeded, or None."""
        if self.rows is not None and rejected > self.rows:
            return f"{rejected} of {read} rows break the contract; the feed allows {self.rows}"
        if self.share is not None and rejected > self.share * read:
            return f"{rejected} of {read} rows break the contract; the feed allows a share of {self.share:g}"
        return None


class FeedDeclaration(Declared):
    """What every feed's YAML states. `owners` and `compute` default to the source's. `audit: daily`: once a day, a load
    checks the whole table against the contract, and not only what it loaded."""

    description: str
    owners: tuple[str, ...] = ()
    tags: dict[str, str] = Field(default_factory=dict)
    compute: Compute | None = None
    contract: Contract
    load_mode: LoadMode = "append"
    partition: DayPartition | None = None
    expected: Expected | None = None
    audit: Literal["daily"] | None = None

    @model_validator(mode="after")
    def _rows_have_a_key(self) -> Self:
        if self.load_mode in ("merge", "history") and not self.contract.key:
            raise ValueError(f"load_mode {self.load_mode} needs contract.key: the columns that identify a row")
        return self


class FeedSpec(FeedDeclaration):
    """A feed: one table-shaped stream of a source. `declared_in`: the file that declares it."""

    kind: ClassVar[str] = "source"
    """Of which kind the source is."""
    origin: ClassVar[str] = "source"
    """The first part of the key of the asset that stands for the source."""
    metadata_columns: ClassVar[tuple[Column, ...]] = ()
    """Columns of the feed's table that its source adds, between the contract's and EXTRACT_COLUMNS."""
    has_catalog: ClassVar[bool] = False
    """Whether its source has a catalog, with which a check compares the contract."""
    reject_columns: ClassVar[tuple[str, ...]] = ()
    """Further columns of the feed's rejects; the values are those of that name in the extract's `origin`."""

    description: str = ""
    source: str
    table: str
    time_zone: str = "UTC"
    declared_in: Path = Field(Path(), exclude=True)

    @property
    def name(self) -> str:
        """`<source>/<table>`, as messages name the feed."""
        return f"{self.source}/{self.table}"

    @property
    def order_column(self) -> str | None:
        """The column that says which of an extract's rows with the same key is the last; None: there is none."""
        return None

    @property
    def extract_columns(self) -> tuple[Column, ...]:
        """The columns of the feed's extracts, in order."""
        return (*self.contract.columns, *self.metadata_columns, *EXTRACT_COLUMNS)

    @property
    def table_columns(self) -> tuple[Column, ...]:
        """Every column of the feed's table in Snowflake, in order."""
        return (*self.extract_columns, *(HISTORY_COLUMNS if self.load_mode == "history" else ()))

    def with_contract(self, contract: Contract) -> Self:
        """The same feed with another contract."""
        return self.model_copy(update={"contract": contract})

    @classmethod
    def of(cls, values: dict[str, object]) -> Self:
        """The spec that plain data states. Raises pydantic.ValidationError."""
        return cls.model_validate(values)


class SourceDeclaration(Declared):
    """What every source's `defs.yaml` states, for all its feeds. `time_zone` (IANA): the zone of the source's days.
    `owners`: emails or `team:<name>`. `compute`: the size of a task that loads one of its feeds."""

    description: str
    owners: tuple[str, ...]
    time_zone: TimeZone
    compute: Compute = Compute()

    def feeds(self, declared_in: Path) -> Iterator[tuple[Path, Callable[[], FeedSpec]]]:
        """For each feed of the source that `declared_in` declares, the feed's file, and a function that returns the
        feed or raises DefinitionInvalid: one feed's mistake doesn't hide the others."""
        raise NotImplementedError

    def inherited(self, feed: FeedDeclaration) -> dict[str, Any]:
        """A feed's fields, with the source's where the feed has none."""
        return {
            **{field: getattr(feed, field) for field in type(feed).model_fields},
            "owners": feed.owners or self.owners,
            "compute": feed.compute or self.compute,
            "time_zone": self.time_zone,
        }
