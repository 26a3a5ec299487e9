"""Which column of a file is which column of the contract, and what the drift policy makes of the rest."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from data_platform.contract import Contract
from data_platform.landing.delivery import ContractViolation, DeliveryUnreadable


@dataclass(frozen=True, slots=True)
class Header:
    """`contract` includes columns added by drift; `positions` has, for each of its columns, the index of the
    file's column (from 0), or None where the file doesn't have it; `width` is the file's number of columns."""

    contract: Contract
    positions: tuple[int | None, ...]
    width: int


def match_header(found: Sequence[str], contract: Contract, subject: str) -> Header:
    """Matches the file's column names with the contract's: exactly, then without regard to case.

    `subject` names feed and file in errors. Raises ContractViolation for missing, repeated and, where the drift
    policy refuses them, unknown columns; DeliveryUnreadable where there are no columns at all."""
    names = [name.strip() for name in found]
    if not any(names):
        raise DeliveryUnreadable(f"{subject}: there is no header row; expected {_listed(contract)}")
    _refuse_repeated(names, subject)
    matched = _matched(names, contract)
    _refuse_missing(names, matched, contract, subject)
    unknown = [name for place, name in enumerate(names) if place not in matched.values()]
    if unknown and contract.drift == "reject":
        raise ContractViolation(
            f"{subject}: the contract doesn't know the columns {', '.join(map(repr, unknown))}; expected"
            f" {_listed(contract)}. Add them to the feed's contract, or set its drift to evolve or ignore."
        )
    if unknown and contract.drift == "evolve":
        contract = evolved(contract, unknown, subject)
        matched |= {column.name: names.index(column.header) for column in contract.columns[-len(unknown) :]}
    return Header(contract, tuple(matched.get(column.name) for column in contract.columns), len(names))


def evolved(contract: Contract, headers: Sequence[str], subject: str) -> Contract:
    """The contract with text columns of these headers. Raises ContractViolation where a header can't be named."""
    try:
        return contract.evolved(tuple(headers))
    except ValueError as error:
        raise ContractViolation(f"{subject}: the new columns can't be added: {error}") from None


def _matched(names: Sequence[str], contract: Contract) -> dict[str, int]:
    matched = {column.name: names.index(column.header) for column in contract.columns if column.header in names}
    for column in contract.columns:
        if column.name in matched:
            continue
        for place, name in enumerate(names):
            if name.lower() == column.header.lower() and place not in matched.values():
                matched[column.name] = place
                break
    return matched


def _refuse_repeated(names: Sequence[str], subject: str) -> None:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ContractViolation(
            f"{subject}: the header names {', '.join(map(repr, repeated))} more than once:"
            f" {', '.join(map(repr, names))}"
        )


def _refuse_missing(names: Sequence[str], matched: dict[str, int], contract: Contract, subject: str) -> None:
    missing = [
        column
        for column in contract.columns
        if column.name not in matched and (not column.nullable or contract.drift == "reject")
    ]
    if not missing:
        return
    spare = [name for place, name in enumerate(names) if place not in matched.values()]
    told = []
    for column in missing:
        near = difflib.get_close_matches(column.header, spare, n=1)
        told.append(f"{column.header!r}" + (f" (the nearest is {near[0]!r})" if near else ""))
    raise ContractViolation(
        f"{subject}: the file has no column {', '.join(told)}; expected {_listed(contract)}; found"
        f" {', '.join(map(repr, names))}. Ask the partner, or change source_name in the feed's contract."
    )


def _listed(contract: Contract) -> str:
    return ", ".join(repr(column.header) for column in contract.columns)
