"""The rules of a file feed, as its `defs.yaml` declares them: which files, how to read them, when they are ready.

Declarations only: `read.py` reads files, `inbox.py` lists them, `settle.py` settles them.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from functools import cached_property, lru_cache
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from data_platform.contract import Contract

LoadMode = Literal["append", "merge", "replace"]


class _Rules(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"{text!r} is not a regular expression: {error}") from None
    return text


def _encoding(text: str) -> str:
    try:
        "".encode(text)
    except (LookupError, UnicodeError):
        raise ValueError(f"{text!r} is not an encoding of text, for example utf-8 or cp1252") from None
    return text


class CsvFormat(_Rules):
    """Delimited text with a header row (RFC 4180 quoting, `""` for a quote within quotes)."""

    type: Literal["csv"] = "csv"
    delimiter: str = Field(",", min_length=1, max_length=1)
    quote: str = Field('"', min_length=1, max_length=1)
    encoding: Annotated[str, AfterValidator(_encoding)] = "utf-8"

    @model_validator(mode="after")
    def _marks_agree(self) -> Self:
        for mark in (self.delimiter, self.quote):
            if not mark.isascii() or mark in "\r\n\0":
                raise ValueError(f"{mark!r} can't be a delimiter or quote: one ASCII character that ends no line")
        if self.delimiter == self.quote:
            raise ValueError(f"delimiter and quote are both {self.quote!r}")
        return self


class JsonLinesFormat(_Rules):
    """One JSON object a line; column names are the objects' keys."""

    type: Literal["json_lines"]
    encoding: Annotated[str, AfterValidator(_encoding)] = "utf-8"


class ParquetFormat(_Rules):
    """A Parquet file; its types are cast to the contract's where that loses nothing."""

    type: Literal["parquet"]


class ExcelFormat(_Rules):
    """A sheet of an .xlsx/.xls/.ods workbook (the first, unless named); `header_row` counts from 1."""

    type: Literal["excel"]
    sheet: str | None = None
    header_row: int = Field(1, ge=1)


FileFormat = CsvFormat | JsonLinesFormat | ParquetFormat | ExcelFormat


class RejectLimit(_Rules):
    """How many rows of a delivery may break the contract; past either limit the whole delivery is quarantined.

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


class Readiness(_Rules):
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


class DayPartition(_Rules):
    """The day a file belongs to, read from a named group of the pattern; days are the partner's time zone's."""

    by: Literal["day"] = "day"
    group: str = "day"
    format: str = "%Y%m%d"
    start: date


class Expected(_Rules):
    """When a file is expected: every hour or day of the partner's local time, at the latest `within_minutes` after
    that hour or day has ended. A named group of the pattern says which hour or day a file covers (by default the
    partition's group). A `format` without an offset (%z) is local time."""

    every: Literal["hour", "day"]
    within_minutes: int = Field(60, ge=0)
    group: str | None = None
    format: str | None = None


class FeedDeclaration(_Rules):
    """What a feed's YAML states about its files. `min_volume`: a delivery with fewer rows than that share of the
    median of the feed's latest ones is flagged. `max_decoded_bytes`: more than that is taken for a bomb."""

    pattern: Annotated[str, AfterValidator(_pattern)]
    format: FileFormat = Field(CsvFormat(), discriminator="type")
    compression: Literal["none", "gzip", "zip"] = "none"
    contract: Contract
    load_mode: LoadMode = "append"
    reject_limit: RejectLimit = RejectLimit()
    readiness: Readiness = Readiness()
    partition: DayPartition | None = None
    expected: Expected | None = None
    min_volume: float | None = Field(0.7, ge=0, le=1)
    max_decoded_bytes: int = Field(20 * 2**30, gt=0)

    @model_validator(mode="after")
    def _agree(self) -> Self:
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
        if self.load_mode == "merge" and not self.contract.key:
            raise ValueError("load_mode merge needs contract.key: the columns that identify a row")
        return self

    @cached_property
    def regex(self) -> re.Pattern[str]:
        """The compiled pattern; it must match a whole file name."""
        return re.compile(self.pattern)

    @property
    def slot_group(self) -> str:
        """The pattern's group that says which hour or day a file is of."""
        return (self.expected and self.expected.group) or (self.partition and self.partition.group) or "day"


class FeedRules(FeedDeclaration):
    """One file feed of one partner: its declaration, whose it is, and the partner's time zone."""

    partner: str
    name: str
    time_zone: str = "UTC"

    @property
    def feed(self) -> str:
        """`<partner>/<name>`, as messages name it."""
        return f"{self.partner}/{self.name}"

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
            raise ValueError(f"{file_name!r} doesn't match the pattern of {self.feed}: {self.pattern}")
        text = match[self.partition.group]
        if text is None:  # the group is in a part of the pattern that need not be there
            raise ValueError(f"{file_name!r} names no day of {self.feed}, in the group {self.partition.group!r}")
        day = _day(text, self.partition.format)
        if day < self.partition.start:
            raise ValueError(f"{file_name!r} is of {day}, before the first day of {self.feed} ({self.partition.start})")
        return day.isoformat()

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

    @classmethod
    def of(cls, attributes: dict[str, Any]) -> FeedRules:
        """The rules that plain data (YAML) states. Raises pydantic.ValidationError."""
        return cls.model_validate(attributes)


@lru_cache(maxsize=4096)
def _day(text: str, form: str) -> date:
    # Thousands of pending files are of a few days.
    return datetime.strptime(text, form).date()
