"""Reads a file as its feed would, without storing anything, and finds the contract that the file would need."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from data_platform.feeds.file_contract import FileColumn
from data_platform.feeds.files import FileFeedSpec
from data_platform.landing.delivery import LandingError
from data_platform.landing.read import DeliveryReader
from data_platform.values.convert import converter_for

_SIMPLE = ("boolean", "int32", "int64", "decimal", "float", "date", "timestamp", "time")
"""The types that a column of text may be of, the narrowest first."""


@dataclass(frozen=True)
class FoundColumn:
    """A column of the file. `declared`: the contract's column that reads it, or None. `fits`: the narrowest type that
    all its values are of; `nulls`: whether some have no value."""

    header: str
    name: str
    declared: FileColumn | None
    fits: str
    nulls: bool

    @property
    def yaml(self) -> str:
        """The column as the contract would declare it."""
        type_ = f'"{self.fits}"' if "(" in self.fits else self.fits
        parts = [f"name: {self.name}", *([f"source_name: {self.header}"] if self.header != self.name else [])]
        parts += [f"type: {type_}", *([] if self.nulls else ["nullable: false"])]
        return f"- {{{', '.join(parts)}}}"


@dataclass
class Trial:
    """What became of the file. `refused`: why it would be quarantined; None if it would be loaded. `rejects`: the
    first of them, as rows of REJECTS_SCHEMA. `found`: its columns, if they can be read; `missing`: the contract's
    columns that the file lacks."""

    rows_read: int = 0
    rows_rejected: int = 0
    refused: str | None = None
    rejects: list[dict[str, Any]] = field(default_factory=list)
    found: list[FoundColumn] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def try_file(path: Path, feed: FileFeedSpec, *, rejects: int = 20) -> Trial:
    """Reads a local file by its feed's rules. `rejects`: how many to keep. Raises OSError."""
    trial = Trial()
    try:
        with path.open("rb") as stream:
            reader = DeliveryReader(stream, feed, file_name=path.name)
            for chunk in reader:
                trial.rejects += chunk.rejects.slice(0, max(0, rejects - len(trial.rejects))).to_pylist()
            trial.rows_read, trial.rows_rejected = reader.rows_read, reader.rows_rejected
        trial.refused = feed.reject_limit.exceeded(trial.rows_rejected, trial.rows_read)
    except LandingError as error:
        trial.refused = str(error)
    trial.found = list(_columns_of(path, feed))
    if trial.found:
        there = {column.name for column in trial.found}
        trial.missing = [column.name for column in feed.contract.columns if column.name not in there]
    return trial


def _columns_of(path: Path, feed: FileFeedSpec) -> Iterator[FoundColumn]:
    """The file's columns, read as text; none if the file can't be read so."""
    declared = {column.name: column for column in feed.contract.columns}
    as_text = [_text_of(column) for column in declared.values()]
    contract = feed.contract.model_copy(update={"columns": tuple(as_text), "drift": "evolve", "key": ()})
    kinds: dict[str, _Fitting] = {}
    try:
        with path.open("rb") as stream:
            reader = DeliveryReader(stream, feed.with_contract(contract), file_name=path.name)
            kinds = {column.name: _Fitting(column, declared.get(column.name)) for column in reader.contract.columns}
            for chunk in reader:
                for name, kind in kinds.items():
                    kind.look_at(chunk.batch.column(name))
    except LandingError:
        return
    for name, kind in kinds.items():
        if kind.seen or name not in declared:
            yield FoundColumn(kind.column.header, name, declared.get(name), kind.best, kind.nulls)


def _text_of(column: FileColumn) -> FileColumn:
    kept = {"name": column.name, "source_name": column.source_name, "null_words": column.null_words}
    return FileColumn.model_validate({**kept, "type": "string"})


class _Fitting:
    """The types that a column's values have fitted so far. `seen`: whether it has any value."""

    def __init__(self, column: FileColumn, declared: FileColumn | None) -> None:
        self.column = column
        self.seen = False
        self.nulls = False
        self._digits = self._scale = 0
        self._types = {name: _candidate(column, declared, name) for name in _SIMPLE}
        if declared is not None and declared.logical.name != "string":
            self._types = {declared.type: declared, **self._types}

    def look_at(self, values: Any) -> None:
        """Takes some more values, an Arrow array of text."""
        self.nulls = self.nulls or values.null_count > 0
        given = values.drop_null()
        if not len(given):
            return
        self.seen = True
        self._types = {name: column for name, column in self._types.items() if not converter_for(column)(given).bad}
        if "decimal" in self._types:
            self._measure(given.to_pylist())

    @property
    def best(self) -> str:
        """The narrowest type, `decimal` with the digits that the values have."""
        found = next(iter(self._types), "string") if self.seen else "string"
        return f"decimal({max(self._digits, self._scale, 1)},{self._scale})" if found == "decimal" else found

    def _measure(self, texts: Iterable[str]) -> None:
        whole = self._digits - self._scale
        for text in texts:
            try:
                _, digits, exponent = Decimal(text.strip().replace(",", ".")).as_tuple()
            except InvalidOperation:
                continue
            scale = max(0, -int(exponent))
            self._scale, whole = max(self._scale, scale), max(whole, len(digits) + int(exponent))
        self._digits = whole + self._scale


def _candidate(column: FileColumn, declared: FileColumn | None, type_: str) -> FileColumn:
    kept: dict[str, Any] = {"name": column.name, "type": "decimal(38,10)" if type_ == "decimal" else type_}
    if declared is not None and type_ in ("int32", "int64", "decimal", "float"):
        kept["decimal_mark"] = declared.decimal_mark
    if type_ == "timestamp":
        kept |= {"time_zone": declared.time_zone} if declared is not None and declared.time_zone else {}
    if type_ == "boolean":
        kept |= {"true_words": ("true",), "false_words": ("false",)}  # 0 and 1 are numbers, unless they are declared
    return FileColumn.model_validate(kept)
