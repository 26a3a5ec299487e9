"""The columns that a table has beside its contract's: those that drift added, and those that the contract no longer
has. Loads keep their values."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TypeVar

from data_platform.contract import Column, Contract
from data_platform.contract.types import SNOWFLAKE_TYPES
from data_platform.lake.manifest import Manifest
from data_platform.warehouse.load_rules import holds
from data_platform.warehouse.schema import TableColumn, normal_type

AnyContract = TypeVar("AnyContract", bound=Contract)


def with_further(contract: AnyContract, manifests: Iterable[Manifest], there: Sequence[TableColumn]) -> AnyContract:
    """The contract, with the table's further columns, so that an older extract that is loaded again brings their values
    back; and, with drift `evolve`, with the text columns of these extracts that the table lacks."""
    found: dict[str, set[str]] = {}
    for manifest in manifests:
        for entry in manifest.columns:
            found.setdefault(entry.name, set()).add(entry.type)
    kinds = {column.name.lower(): column.kind for column in there}
    added = []
    for name in dict.fromkeys((*found, *kinds)):
        if _is_known(contract, name):
            continue
        if name in kinds:
            type_ = _type_of(kinds[name], found.get(name, ()))
        else:
            type_ = "string" if contract.drift == "evolve" and found[name] == {"string"} else None
        if type_ is not None:
            added.append(contract.column_class(name=name, type=type_))
    return contract.with_columns(added) if added else contract


def with_drift(contract: AnyContract, there: Iterable[TableColumn]) -> AnyContract:
    """The contract, with the columns of the table that drift may have added: with `evolve`, all further text columns
    that may be null."""
    if contract.drift != "evolve":
        return contract
    return with_further(contract, (), [column for column in there if column.nullable and column.kind == "VARCHAR"])


def _is_known(contract: Contract, name: str) -> bool:
    return name.startswith("_") or any(name == each.name or name in each.renamed_from for each in contract.columns)


def _type_of(kind: str, arrow_types: Collection[str]) -> str | None:
    """The contract's type for a column of this type in Snowflake, which the extracts have as these Arrow types. None
    where there is no such type: then the values stay in the lake."""
    types = [name for name, declared in SNOWFLAKE_TYPES.items() if normal_type(declared) == kind and name != "geometry"]
    types += [f"decimal{kind.removeprefix('NUMBER')}"] if kind.startswith("NUMBER(") else []
    for type_ in types:
        wide = str(Column(name="x", type=type_).arrow_type)
        if all(wide == narrow or holds(wide, narrow) for narrow in arrow_types):
            return type_
    return None
