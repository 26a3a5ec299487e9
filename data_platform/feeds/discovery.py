"""What a source's catalog says of its tables, and in what a contract differs from it. Plain data, no I/O: each kind of
source reads its own catalog (`extract/discovery.py`), and `discovered_yaml.py` writes what was found.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from data_platform.contract import Column, Contract, LogicalType, TypeName, column_name, parse_type

_DIGITS = {"int8": 3, "int16": 5, "int32": 10, "int64": 19}
_EXACT_FLOATS = ("int8", "int16", "int32")
"""The integers that a double holds exactly, all of them."""


@dataclass(frozen=True)
class CatalogColumn:
    """A column of a source's table.

    `name`: in the source. `found`: its type, as the source writes it. `type`: the contract's type that holds each of
    its values exactly. `also`: further types that a contract may declare for it, although some values may not fit,
    which are rejects. `options`: further fields of a column that is declared for it, such as its time_zone. `note`:
    what the person who reviews the declaration has to know or decide. `label`: what people call it, where its name is
    an id.
    """

    name: str
    found: str
    type: str
    nullable: bool = True
    description: str = ""
    also: tuple[TypeName, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""
    label: str = ""

    def fits(self, declared: Column) -> bool:
        """Whether a contract's column is right for it."""
        return declared.logical.name in self.also or holds(declared.logical, parse_type(self.type))


@dataclass(frozen=True)
class CatalogTable:
    """A table of a source. `feed`: the declared table that reads it; None: it isn't declared. `name`: how messages name
    it. `table`: the name that its feed would have. `identity`: the fields of the declaration that say which one it is,
    such as {"from": "register.permits"}. `keys`: each a set of columns that identifies a row, the primary one first."""

    feed: str | None
    name: str
    table: str
    columns: tuple[CatalogColumn, ...]
    identity: Mapping[str, Any] = field(default_factory=dict)
    description: str = ""
    keys: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class Wanted:
    """Which tables to look for besides those that are declared: by name, as the source names them, and all of these
    schemas (of a source that has any)."""

    tables: tuple[str, ...] = ()
    schemas: tuple[str, ...] = ()


@dataclass(frozen=True)
class Found:
    """What a catalog says. `notes`: what it lacks, or doesn't let the connection see."""

    tables: tuple[CatalogTable, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Change:
    """A difference between a table's contract and its catalog. `told`: a sentence about it; empty where the contract
    merely says less, as of a comment that it doesn't have. `column`: the contract's column, or the new one's name."""

    what: Literal["added", "gone", "type", "key", "not_null", "described"]
    column: str
    told: str = ""
    found: CatalogColumn | None = None
    key: tuple[str, ...] = ()


def holds(declared: LogicalType, wanted: LogicalType) -> bool:
    """Whether a type holds every value of another one exactly."""
    if declared == wanted or declared.name == "string":
        return True
    digits = _digits(wanted)
    if digits is None:
        return False
    if declared.name == "float":
        return wanted.name in _EXACT_FLOATS
    room = _digits(declared)
    if room is None:
        return False
    if declared.name in _DIGITS and wanted.name == "decimal":  # an int64 has 19 digits, but not each number of 19
        return wanted.args[1] == 0 and digits[0] < room[0]
    return room[0] >= digits[0] and room[1] >= digits[1]


def _digits(type_: LogicalType) -> tuple[int, int] | None:
    """The digits before and after the point; None of a type that isn't an exact number."""
    if type_.name == "decimal":
        precision, scale = type_.args
        return precision - scale, scale
    return (_DIGITS[type_.name], 0) if type_.name in _DIGITS else None


def changes(contract: Contract, table: CatalogTable) -> list[Change]:
    """In what the contract differs from the catalog."""
    there = {column.name: column for column in table.columns}
    return [*_of_columns(contract, there), *_added(contract, table.columns), *_of_key(contract, table)]


def _of_columns(contract: Contract, there: Mapping[str, CatalogColumn]) -> Iterator[Change]:
    for column in contract.columns:
        found = there.get(column.header)
        if found is None:
            yield Change("gone", column.name, f"the column {column.header} is gone")
            continue
        if not found.fits(column):
            told = (
                f"the column {column.header} is {found.found}; the contract says {column.type}, expected {found.type}"
            )
            yield Change("type", column.name, told, found)
        if column.nullable and not found.nullable:
            yield Change("not_null", column.name, found=found)
        if found.description and not column.description:
            yield Change("described", column.name, found=found)


def _added(contract: Contract, columns: Sequence[CatalogColumn]) -> Iterator[Change]:
    declared = {column.header for column in contract.columns}
    taken = {column.name for column in contract.columns}
    for found in columns:
        if found.name not in declared:
            name = free_name(column_name(found.label or found.name), taken)
            taken.add(name)
            yield Change("added", name, f"the column {found.name} ({found.found}) is new", found)


def _of_key(contract: Contract, table: CatalogTable) -> Iterator[Change]:
    headers = tuple(contract.column(name).header for name in contract.key)
    if not table.keys or any(set(key) <= set(headers) for key in table.keys if key):
        return
    key = table.keys[0]
    told = f"the key is {', '.join(key)}; the contract says {', '.join(headers)}" if headers else ""
    yield Change("key", "", told, key=key)


def free_name(name: str, taken: set[str]) -> str:
    """The name, with a number if it is taken."""
    number, free = 2, name
    while free in taken:
        free, number = f"{name}_{number}", number + 1
    return free
