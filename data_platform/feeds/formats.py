"""The formats of files that a feed may declare."""

from __future__ import annotations

import codecs
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from data_platform.feeds.spec import Declared


def _encoding(text: str) -> str:
    try:
        codecs.getincrementaldecoder(text)("surrogateescape").decode("a,\r\n".encode(text), final=True)
    except (LookupError, UnicodeError, ValueError):
        raise ValueError(f"{text!r} is not an encoding of text, for example utf-8 or cp1252") from None
    return text


class CsvFormat(Declared):
    """Delimited text with a header row (RFC 4180 quoting, `""` for a quote within quotes). `quote: none`: quotes are
    ordinary characters, and a record ends with its line. `ends_with_newline`: a file whose last line has no line end is
    quarantined, as a transfer that broke off."""

    type: Literal["csv"] = "csv"
    delimiter: str = Field(",", min_length=1, max_length=1)
    quote: str = '"'
    encoding: Annotated[str, AfterValidator(_encoding)] = "utf-8"
    ends_with_newline: bool = False

    @model_validator(mode="after")
    def _marks_agree(self) -> Self:
        if len(self.quote) != 1 and self.quote != "none":
            raise ValueError(f"{self.quote!r} can't be a quote; expected one ASCII character, or none")
        for mark in (self.delimiter, self.quote):
            if not mark.isascii() or mark in "\r\n\0":
                raise ValueError(f"{mark!r} can't be a delimiter or quote: one ASCII character that ends no line")
        if self.delimiter == self.quote:
            raise ValueError(f"delimiter and quote are both {self.quote!r}")
        return self

    @property
    def quote_character(self) -> str | None:
        """The character that quotes a field, if any does."""
        return None if self.quote == "none" else self.quote


class JsonLinesFormat(Declared):
    """One JSON object a line; column names are the objects' keys. `ends_with_newline`: as of CSV."""

    type: Literal["json_lines"]
    encoding: Annotated[str, AfterValidator(_encoding)] = "utf-8"
    ends_with_newline: bool = False


class ParquetFormat(Declared):
    """A Parquet file; its types are cast to the contract's where that loses nothing."""

    type: Literal["parquet"]


class ExcelFormat(Declared):
    """A sheet of an .xlsx/.xls/.ods workbook (the first, unless named); `header_row` counts from 1."""

    type: Literal["excel"]
    sheet: str | None = None
    header_row: int = Field(1, ge=1)


FileFormat = CsvFormat | JsonLinesFormat | ParquetFormat | ExcelFormat
