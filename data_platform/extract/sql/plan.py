"""What is read of a table: its columns beside the contract's. What doesn't fit is refused before anything is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from data_platform.contract import Contract
from data_platform.extract.source import Refused
from data_platform.extract.sql.system import FoundColumn, Session
from data_platform.feeds.databases import SqlTableSpec


@dataclass(frozen=True)
class TablePlan:
    """What is read of a table: the contract as found, and how each of its columns is read."""

    contract: Contract
    readers: tuple[Any, ...]

    @property
    def selected(self) -> str:
        """The list of a SELECT."""
        return ", ".join(reader.expression for reader in self.readers)


def table_plan(session: Session[Any, Any], feed: SqlTableSpec, found: Mapping[str, FoundColumn]) -> TablePlan:
    """How to read the table with these columns. Raises Refused, which names every column that doesn't fit."""
    contract = _with_drift(feed, found)
    problems: list[str] = []
    readers: list[Any] = []
    for column in contract.columns:
        there = found.get(column.header)
        if there is None:
            problems.append(
                f"the column {column.header} is not in the table; correct the contract, or `source_name` if the column"
                " has another name there"
            )
            continue
        reader = session.reader(column, there)
        if not isinstance(reader, str):
            readers.append(reader)
        else:
            problems.append(
                f"the column {column.header} is {there.type}, and the contract says {column.type}, which reads"
                f" {reader}; change the contract's type (string takes any), or the column"
            )
    if problems:
        raise Refused(f"{feed.name}: {feed.from_ or feed.table} isn't as declared: {'; '.join(problems)}")
    return TablePlan(contract, tuple(readers))


def _with_drift(feed: SqlTableSpec, found: Mapping[str, FoundColumn]) -> Contract:
    """The contract, with the columns that the table has and it doesn't, as its drift policy says."""
    known = {column.header for column in feed.contract.columns}
    new = tuple(name for name in found if name not in known)
    if not new or feed.contract.drift == "ignore":
        return feed.contract
    if feed.contract.drift == "reject":
        raise Refused(
            f"{feed.name}: {feed.from_ or feed.table} has columns that the contract doesn't name: {', '.join(new)}; add"
            " them to the contract, or set its drift to ignore or evolve"
        )
    try:
        return feed.contract.evolved(new)
    except ValueError as error:
        raise Refused(f"{feed.name}: can't add the columns {', '.join(new)}: {error}") from None
