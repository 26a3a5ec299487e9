"""Matches the columns of a file with those of the contract, and applies the drift policy to the rest."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from data_platform.extract.source import OPERATOR
from data_platform.feeds.file_contract import FileContract
from data_platform.landing.delivery import ContractViolation, DeliveryUnreadable

_MOST_FOUND = 10_000
"""A first line with more columns is data, or of another format, but no header."""
_MOST_ADDED = 2_000
"""More new columns than that are data, such as the members of an object that is used as a dictionary."""
_NAMED = 50
_DELIMITERS = ",;\t|"


@dataclass(frozen=True, slots=True)
class Header:
    """`contract` includes columns added by drift; `positions` has, for each of its columns, the index of the
    file's column (from 0), or None where the file doesn't have it; `width` is the file's number of columns."""

    contract: FileContract
    positions: tuple[int | None, ...]
    width: int


def match_header(found: Sequence[str], contract: FileContract, subject: str) -> Header:
    """Matches the file's column names with the contract's: exactly, then without regard to case.

    `subject` names feed and file in errors. Raises ContractViolation for missing, misspelt, repeated and, where the
    drift policy refuses them, unknown columns, and for a header that is unlike the contract's; DeliveryUnreadable where
    there are no columns at all."""
    names = [name.strip() for name in found]
    if not any(names):
        raise DeliveryUnreadable(
            f"{subject}: there is no header row; expected {_listed(contract)}. Send it with one."
            f"{OPERATOR}if the file is right, change the feed's format"
        )
    if len(names) > _MOST_FOUND:
        raise DeliveryUnreadable(
            f"{subject}: the header row has {len(names)} columns: it looks like data, or another format; expected"
            f" {_listed(contract)}. Send these columns.{OPERATOR}if the file is right, change the feed's format"
        )
    unnamed = "" if all(names) else " (a column without a name is named by its place, from 1)"
    names = [name or f"column_{place}" for place, name in enumerate(names, 1)]
    matched = _matched(names, contract)
    _refuse_repeated(names, matched, contract, subject)
    _refuse_missing(names, matched, contract, subject)
    unknown = [name for place, name in enumerate(names) if place not in matched.values()]
    _refuse_unlike(names, matched, len(unknown), contract, subject)
    if unknown and contract.drift == "reject":
        raise ContractViolation(
            f"{subject}: the contract doesn't know the columns {_shown(unknown, contract)}{unnamed}; expected"
            f" {_listed(contract)}. Leave them out.{OPERATOR}if the file is right, add them to the feed's contract, or"
            " set its drift to evolve or ignore"
        )
    if unknown and contract.drift == "evolve":
        contract = evolved(contract, unknown, subject)
        matched |= {column.name: names.index(column.header) for column in contract.columns[-len(unknown) :]}
    return Header(contract, tuple(matched.get(column.name) for column in contract.columns), len(names))


def evolved(contract: FileContract, headers: Sequence[str], subject: str) -> FileContract:
    """The contract with text columns of these headers. Raises ContractViolation where a header can't be a
    column's name, or where there are so many that they must be data."""
    if len(headers) > _MOST_ADDED:
        raise ContractViolation(
            f"{subject}: the file adds {len(headers)} columns, which looks like data; expected at most"
            f" {_MOST_ADDED}. Send the agreed columns.{OPERATOR}if the file is right, set the feed's drift to ignore"
            " or reject"
        )
    try:
        return contract.evolved(tuple(headers))
    except ValueError as error:
        plain = error.errors()[0]["msg"].removeprefix("Value error, ") if isinstance(error, ValidationError) else error
        told = "two columns' names become the same" if contract.personal else plain
        raise ContractViolation(
            f"{subject}: the new columns can't be added: {told}. Rename one.{OPERATOR}if the file is right, declare"
            " them in the feed's contract with a source_name"
        ) from None


def _matched(names: Sequence[str], contract: FileContract) -> dict[str, int]:
    matched = {column.name: names.index(column.header) for column in contract.columns if column.header in names}
    for column in contract.columns:
        if column.name in matched:
            continue
        for place, name in enumerate(names):
            if name.lower() == column.header.lower() and place not in matched.values():
                matched[column.name] = place
                break
        else:  # a file from before the column was renamed
            former = [place for place, name in enumerate(names) if name in column.renamed_from]
            if former and former[0] not in matched.values():
                matched[column.name] = former[0]
    return matched


def _refuse_repeated(names: Sequence[str], matched: dict[str, int], contract: FileContract, subject: str) -> None:
    """Refuses a name that comes twice, but for one that is left out anyway."""
    wanted = {names[place] for place in matched.values()}
    repeated = sorted(
        name for name, count in Counter(names).items() if count > 1 and (contract.drift != "ignore" or name in wanted)
    )
    if repeated:
        raise ContractViolation(
            f"{subject}: the header names {_shown(repeated, contract)} more than once: {_shown(names, contract)}. Send"
            " each column once"
        )


def _refuse_unlike(
    names: Sequence[str], matched: dict[str, int], unknown: int, contract: FileContract, subject: str
) -> None:
    """Refuses a header so unlike the contract's that it is another file's, or split at the wrong character: its rows
    would be nulls."""
    few = not contract.sparse and len(matched) < contract.unlike_below and unknown > len(matched)
    if few or not matched:
        found = f"only {len(matched)}" if matched else "none"
        way_out = "; if such files are right, set its sparse to true" if matched else ""
        raise ContractViolation(
            f"{subject}: the file has {found} of the contract's {len(contract.columns)} columns; expected"
            f" {_listed(contract)}; found {_shown(names, contract)}. Send the expected columns."
            f"{_other_delimiter(names)}{OPERATOR}if the file is right, change the feed's format or source_name in its"
            f" contract{way_out}"
        )


def _other_delimiter(names: Sequence[str]) -> str:
    """A question, where the header is one field that another delimiter would split."""
    likely = max(_DELIMITERS, key=names[0].count)
    return f" The header is one field: is the delimiter {likely!r}?" if len(names) == 1 and likely in names[0] else ""


def _refuse_missing(names: Sequence[str], matched: dict[str, int], contract: FileContract, subject: str) -> None:
    spare = [name for place, name in enumerate(names) if place not in matched.values()]
    plain = {_letters(name) for name in spare} - {""}
    missing = [
        column
        for column in contract.columns
        if column.name not in matched
        and (not column.nullable or contract.drift == "reject" or _letters(column.header) in plain)
    ]
    if not missing:
        return
    told = []
    for column in missing:
        near = [] if contract.personal else difflib.get_close_matches(column.header, spare, n=1)
        told.append(f"{column.header!r}" + (f" (the nearest is {near[0]!r})" if near else ""))
    raise ContractViolation(
        f"{subject}: the file has no column {', '.join(told)}; expected {_listed(contract)}; found"
        f" {_shown(names, contract)}. Send the expected columns.{_other_delimiter(names)}"
        f"{OPERATOR}if the file is right, change source_name in the feed's contract"
    )


def _letters(name: str) -> str:
    """A name without what spellings differ in: case, blanks, quotes and other marks."""
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def _shown(names: Sequence[str], contract: FileContract) -> str:
    """The first of them: a reason goes into a receipt and the ledger. None if there are personal columns: where the
    header is missing, the first row is taken for it."""
    if contract.personal:
        return f"({len(names)} that aren't shown here, as the feed has personal columns)"
    told = ", ".join(repr(name if len(name) <= 100 else f"{name[:100]}…") for name in names[:_NAMED])
    return f"{told} and {len(names) - _NAMED} more" if len(names) > _NAMED else told


def _listed(contract: FileContract) -> str:
    return ", ".join(repr(column.header) for column in contract.columns)
