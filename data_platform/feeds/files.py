"""File feeds, as their `defs.yaml` declares them: which files, how to read them, when they are ready.

Declarations only: the package `landing` lists, reads and settles files.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from functools import cached_property, lru_cache
from typing import Annotated, ClassVar, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, model_validator

from data_platform.contract import Column, platform_column
from data_platform.feeds import spec
from data_platform.feeds.file_contract import FileContract
from data_platform.feeds.formats import CsvFormat, FileFormat
from data_platform.feeds.patterns import require_fast
from data_platform.feeds.spec import Declared, RejectLimit

DELIVERY_ID = "_delivery_id"
RECORD_NUMBER = "_record_number"
_ROWS_OF_ANY_FILE, _ROWS_A_BYTE = 1_000_000, 16
"""Parquet packs a run of one value into a few bytes, and gzip a run of one line; rows that say something take more."""


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"{text!r} is not a regular expression: {error}") from None
    require_fast(text)
    return text


class Readiness(Declared):
    """When a file may be read. `settle_seconds`: its size has been stable that long. `manifest` or `trigger`: the
    file of that name has arrived; `{name}` is the data file's name, `{stem}` the same without extensions. A manifest is
    JSON with any of `rows`, `bytes` and `sha256`, which must match the file: `rows` counts its records, `bytes` and
    `sha256` are of the file as delivered."""

    settle_seconds: float = Field(10.0, ge=0)
    manifest: str | None = None
    trigger: str | None = None

    @model_validator(mode="after")
    def _one_companion(self) -> Readiness:
        if self.manifest and self.trigger:
            raise ValueError("readiness takes `manifest` or `trigger`, not both")
        if (self.manifest or self.trigger) and self.settle_seconds != type(self).model_fields["settle_seconds"].default:
            raise ValueError(
                "settle_seconds has no effect beside a manifest or trigger: the file is read as soon as that is there"
            )
        template = self.manifest or self.trigger
        if template and "{name}" not in template and "{stem}" not in template:
            raise ValueError(
                f"{template!r} would be the companion of every file, and go with the first that is settled; write"
                " {name} or {stem} in it"
            )
        return self

    def companion(self, file_name: str) -> str | None:
        """The name of the file that must accompany `file_name`, or None."""
        template = self.manifest or self.trigger
        if template is None:
            return None
        return template.replace("{name}", file_name).replace("{stem}", file_name.split(".")[0])


class Quota(Declared):
    """How much of a partner's may be pending, in files and in bytes (1 gigabyte = 10**9). What lies beyond waits until
    files before it, by name, are settled; nothing is refused."""

    files: int = Field(20_000, gt=0)
    gigabytes: float = Field(200, gt=0)

    def passed(self, files: int, size: int) -> str | None:
        """Why so many files with so many bytes are too much, or None. One file never is, however large."""
        if files > self.files:
            return f"more than {self.files:,} files are pending"
        if size > self.gigabytes * 10**9 and files > 1:
            return f"files of more than {self.gigabytes:g} GB are pending"
        return None


class DayPartition(spec.DayPartition):
    """The day that a file is of, read from a named group of the pattern."""

    group: str = "day"
    format: str = "%Y%m%d"


class Expected(spec.Expected):
    """When a file is expected. A named group of the pattern says which hour or day a file is of (by default the
    partition's group). A `format` without an offset (%z) is local time."""

    group: str | None = None
    format: str | None = None


class FileFeedDeclaration(spec.FeedDeclaration):
    """What a file feed's YAML states. `min_volume`: a delivery with fewer rows than that share of the median of the
    feed's latest ones is flagged. `max_decoded_bytes`, `max_rows`: more than that is taken for a bomb."""

    pattern: Annotated[str, AfterValidator(_pattern)]
    format: FileFormat = Field(CsvFormat(), discriminator="type")
    compression: Literal["none", "gzip", "zip"] = "none"
    contract: FileContract
    reject_limit: RejectLimit = RejectLimit()
    readiness: Readiness = Readiness()
    partition: DayPartition | None = None
    expected: Expected | None = None
    min_volume: float | None = Field(0.7, ge=0, le=1)
    max_decoded_bytes: int = Field(20 * 2**30, gt=0)
    max_rows: int | None = Field(None, gt=0)

    def most_rows(self, size: int) -> int:
        """The most rows that a file of `size` bytes, as delivered, may have."""
        return self.max_rows or max(_ROWS_OF_ANY_FILE, _ROWS_A_BYTE * size)

    @model_validator(mode="after")
    def _groups_are_named(self) -> Self:
        groups = self.regex.groupindex
        if self.partition and self.partition.group not in groups:
            raise ValueError(
                f"partition.group {self.partition.group!r} is not a named group of the pattern; write"
                f" (?P<{self.partition.group}>...) in it"
            )
        if self.expected and self.slot_group not in groups:
            raise ValueError(
                f"expected.group {self.slot_group!r} is not a named group of the pattern; write"
                f" (?P<{self.slot_group}>...) in it"
            )
        return self

    @model_validator(mode="after")
    def _snapshots_have_a_day(self) -> Self:
        if self.load_mode == "history" and self.partition is None:
            raise ValueError(
                "load_mode history needs a partition: the day that a file is a snapshot of, for example partition:"
                " {by: day, start: 2026-03-01} with (?P<day>[0-9]{8}) in the pattern"
            )
        return self

    @model_validator(mode="after")
    def _options_have_an_effect(self) -> Self:
        if self.format.type in ("csv", "json_lines"):
            for column in self.contract.columns:
                if column.rounding == "digits":
                    raise ValueError(
                        f"column {column.name}: rounding: digits has no effect on {self.format.type}, whose numbers are"
                        " decimal text; it is for binary fractions in excel and parquet. Write rounding: places to"
                        " round a decimal"
                    )
        if self.contract.sparse and self.format.type == "json_lines":
            raise ValueError("contract.sparse has no effect on json_lines, where any object may have few members")
        return self

    @cached_property
    def regex(self) -> re.Pattern[str]:
        """The compiled pattern; it must match a whole file name."""
        return re.compile(self.pattern)

    @property
    def slot_group(self) -> str:
        """The pattern's group that says which hour or day a file is of."""
        return (self.expected and self.expected.group) or (self.partition and self.partition.group) or "day"


class FileFeedSpec(FileFeedDeclaration, spec.FeedSpec):
    """One file feed of one partner. `quota`: the partner's, over all its feeds."""

    kind: ClassVar[str] = "sftp"
    origin: ClassVar[str] = "inbound"
    metadata_columns: ClassVar[tuple[Column, ...]] = (
        platform_column(DELIVERY_ID, "string", "The delivery that brought this row."),
        platform_column(RECORD_NUMBER, "int64", "The record's number in its file, from 1."),
    )
    reject_columns: ClassVar[tuple[str, ...]] = ("delivery_id",)

    description: str = ""
    quota: Quota = Quota()

    @property
    def order_column(self) -> str | None:
        """A file's last record of a key counts."""
        return RECORD_NUMBER

    def matches(self, file_name: str) -> bool:
        """Whether a file of that name belongs to this feed."""
        return self.regex.fullmatch(file_name) is not None

    def partition_key(self, file_name: str) -> str | None:
        """The day of a file as YYYY-MM-DD, or None for a feed without partitions. Raises ValueError where the name
        holds no such day, or one before the first partition."""
        if self.partition is None:
            return None
        match = self.regex.fullmatch(file_name)
        if match is None:
            raise ValueError(f"{file_name!r} doesn't match the pattern of {self.name}: {self.pattern}")
        text = match[self.partition.group]
        if text is None:  # the group is in a part of the pattern that need not be there
            raise ValueError(f"{file_name!r} names no day of {self.name}, in the group {self.partition.group!r}")
        form = self.partition.format
        try:
            day = _day(text, form)
        except ValueError:
            raise ValueError(
                f"{file_name!r} names no day of {self.name}: {text!r} is not a date in the format {form}; expected for"
                f" example {self.partition.start.strftime(form)!r}"
            ) from None
        if day < self.partition.start:
            raise ValueError(
                f"{file_name!r} belongs to {day}, before the first day of {self.name} ({self.partition.start})"
            )
        return day.isoformat()

    def effective_at(self, partition: str | None, landed_at: datetime) -> datetime:
        """When a file's data was true: when it landed, or with load mode `history`, whose files are snapshots of a day,
        that day's start."""
        if self.load_mode != "history" or partition is None:
            return landed_at
        return datetime.fromisoformat(partition).replace(tzinfo=ZoneInfo(self.time_zone)).astimezone(UTC)

    def slot(self, file_name: str) -> datetime | None:
        """The start (UTC) of the hour or day that a file is of, or None where its name doesn't say."""
        match = self.regex.fullmatch(file_name)
        if self.expected is None or match is None or match[self.slot_group] is None:
            return None
        form = self.expected.format or (self.partition.format if self.partition else "%Y%m%d")
        try:
            read = datetime.strptime(match[self.slot_group], form)
            return (read if read.tzinfo else read.replace(tzinfo=ZoneInfo(self.time_zone))).astimezone(UTC)
        except (ValueError, OverflowError):  # the first and last hours there are have no counterpart in UTC
            return None


@lru_cache(maxsize=4096)
def _day(text: str, form: str) -> date:
    # Thousands of pending files are of a few days.
    return datetime.strptime(text, form).date()
