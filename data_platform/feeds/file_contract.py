"""A file feed's contract: its columns, and how a file spells their values."""

from __future__ import annotations

import re
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from data_platform.contract import Column, Contract

# strptime's directives that mean the same everywhere. Not %Z, which reads a zone's name and ignores it, nor %c and %x,
# which depend on the locale.
_DIRECTIVES = {"date": "YymbBdjaAHIMSfp", "timestamp": "YymbBdjaAHIMSfpz", "time": "HIMSfp"}
_HINTS = {
    "decimal_mark": ("int8", "int16", "int32", "int64", "decimal", "float"),
    "true_words": ("boolean",),
    "false_words": ("boolean",),
    "binary_encoding": ("binary",),
    "rounding": ("int8", "int16", "int32", "int64", "decimal", "float"),
}
"""The types on which a hint has an effect."""
_HINTED = frozenset((*_HINTS, "true_words", "false_words", "null_words"))


class FileColumn(Column):
    """A column, and how a file spells its values.

    `source_name`: the column's name in the file, if it differs. `formats`: strptime patterns for a date, timestamp or
    time, tried in turn; default: ISO 8601. `null_words`: values that are read as null. An empty CSV field is always
    null, a quoted empty one is an empty string. `rounding`: what a number with more digits than it should have means.
    """

    hashed: ClassVar[tuple[str, ...]] = (
        *("name", "type", "nullable", "source_name", "formats", "time_zone", "ambiguous", "decimal_mark"),
        *("true_words", "false_words", "null_words", "binary_encoding"),
    )
    hashed_if_set: ClassVar[tuple[str, ...]] = ("rounding",)

    formats: tuple[str, ...] = ()
    decimal_mark: Literal[".", ","] = "."
    true_words: tuple[str, ...] = ("true", "1")
    false_words: tuple[str, ...] = ("false", "0")
    null_words: tuple[str, ...] = ()
    binary_encoding: Literal["hex", "base64"] = "hex"
    rounding: Literal["exact", "digits", "places"] = "exact"

    @model_validator(mode="after")
    def _source_name_can_be_met(self) -> Self:
        if self.source_name is not None and (not self.source_name or self.source_name != self.source_name.strip()):
            raise ValueError(
                f"column {self.name}: source_name {self.source_name!r} is no name of a column: blanks around names are"
                " taken off. For a column without a name write its place, for example column_3"
            )
        return self

    @model_validator(mode="after")
    def _hints_have_an_effect(self) -> Self:
        if not self.model_fields_set & _HINTED:  # most columns have no hint, and a team may declare many thousands
            return self
        for hint, types in _HINTS.items():
            if getattr(self, hint) != type(self).model_fields[hint].default and self.logical.name not in types:
                raise ValueError(
                    f"column {self.name}: {hint} has no effect on a {self.type}; it is for {' and '.join(types)}"
                )
        if self.rounding == "places" and self.logical.name != "decimal":
            raise ValueError(
                f"column {self.name}: rounding: places has no effect on a {self.type}, which has no places; it is for"
                " decimal. For the noise of binary fractions in workbooks and Parquet write rounding: digits"
            )
        if self.logical.name == "string":
            return self
        for hint in ("true_words", "false_words", "null_words"):
            for word in getattr(self, hint):
                if word != word.strip(" \t"):
                    raise ValueError(
                        f"column {self.name}: {word!r} in {hint} has no effect: blanks around a value are taken off"
                    )
                if not word:
                    raise ValueError(
                        f"column {self.name}: the empty word in {hint} has no effect: an empty field is always null"
                    )
        return self

    @model_validator(mode="after")
    def _hints_agree(self) -> Self:
        both = {word.lower() for word in self.true_words} & {word.lower() for word in self.false_words}
        if both:
            raise ValueError(f"column {self.name}: both in true_words and false_words: {', '.join(sorted(both))}")
        if self.formats and self.logical.name not in _DIRECTIVES:
            raise ValueError(f"column {self.name}: only a date, timestamp or time takes formats, not {self.type}")
        for pattern in self.formats:
            directives = set(re.findall(r"%(.)", pattern)) - {"%"}
            strange = directives - set(_DIRECTIVES[self.logical.name])
            dated = self.logical.name == "time" or (
                directives & {*"Yy"} and ("j" in directives or ("d" in directives and directives & {*"mbB"}))
            )
            if strange or not directives or not dated:
                raise ValueError(
                    f"column {self.name}: format {pattern!r} doesn't give a whole {self.logical.name}; allowed:"
                    f" {' '.join('%' + directive for directive in _DIRECTIVES[self.logical.name])}"
                )
        return self


class FileContract(Contract):
    """A contract whose columns say how a file spells their values. `sparse`: a file may have only few of the columns,
    and more that the contract doesn't know; otherwise it is quarantined, as it looks like another feed's."""

    column_class: ClassVar[type[Column]] = FileColumn
    hashed_if_set: ClassVar[tuple[str, ...]] = ("sparse",)

    columns: tuple[FileColumn, ...] = Field(min_length=1)
    sparse: bool = False

    @model_validator(mode="after")
    def _sparse_has_an_effect(self) -> Self:
        needed = sum(not column.nullable for column in self.columns)
        if self.sparse and (self.drift == "reject" or self.unlike_below <= max(needed, 1)):
            raise ValueError(
                "sparse has no effect where drift is reject, as a file must then have every column, or where a third"
                " of the columns must be there anyway"
            )
        return self

    @property
    def unlike_below(self) -> int:
        """A file with fewer of the contract's columns than that, and more others, is taken for another's."""
        return -(-len(self.columns) // 3)
