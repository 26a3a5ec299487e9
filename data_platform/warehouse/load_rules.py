"""The rules for extracts that are loaded together. `load.py` checks them before it writes anything."""

from __future__ import annotations

import re
from collections.abc import Sequence

from data_platform.contract import EXTRACT_COLUMNS, Column, Contract
from data_platform.feeds.files import DELIVERY_ID
from data_platform.lake.manifest import Manifest
from data_platform.warehouse.settlement import Settlement
from data_platform.warehouse.table import DELIVERY_COLUMNS, TableRef


class LoadRefused(Exception):
    """The extracts break a rule. The message says which extract, why, and what to do."""


def columns_of(contract: Contract, manifests: Sequence[Manifest]) -> tuple[Column, ...]:
    """The table's columns that these extracts fill: the contract's, then the platform's."""
    of_files = any(column.name == DELIVERY_ID for manifest in manifests for column in manifest.columns)
    return (*contract.columns, *(DELIVERY_COLUMNS if of_files else ()), *EXTRACT_COLUMNS)


def one_feed(table: TableRef, manifests: Sequence[Manifest], settlements: Sequence[Settlement]) -> tuple[str, str]:
    """The (source, table) to which all of them belong. Raises LoadRefused if there are several, if an extract is given
    twice, or if a delivery's extract has no manifest."""
    ids = [manifest.extract_id for manifest in manifests]
    if len(set(ids)) < len(ids):
        raise LoadRefused(f"{table}: an extract is given twice; give each manifest once")
    feeds = {(manifest.source, manifest.table) for manifest in manifests}
    feeds |= {(settlement.partner, settlement.feed) for settlement in settlements}
    if len(feeds) > 1:
        raise LoadRefused(f"{table}: extracts of several feeds, {sorted(feeds)}; load each feed by itself")
    missing = {each.extract_id for each in settlements if each.extract_id is not None} - set(ids)
    if missing:
        raise LoadRefused(f"{table}: no manifest of {sorted(missing)}; give each loaded delivery's manifest")
    return feeds.pop()


def same_types(table: TableRef, columns: Sequence[Column], manifests: Sequence[Manifest]) -> None:
    """Raises LoadRefused if an extract's column neither has the contract's type nor widens to it: COPY would cast it,
    and a cast may round. COPY loads NULL for a column that the extract lacks, and ignores a column that the contract
    lacks."""
    types = {column.name: str(column.arrow_type) for column in columns}
    for manifest in manifests:
        for column in manifest.columns:
            expected = types.get(column.name, column.type)
            if column.type != expected and not _holds(expected, column.type):
                raise LoadRefused(
                    f"{table}: extract {manifest.extract_id} has {column.name} as {column.type}, but the"
                    f" contract says {expected} now; extract it again under the new contract"
                )


_INTEGERS = ("int8", "int16", "int32", "int64")
_DECIMAL = re.compile(r"decimal128\((\d+), (\d+)\)")


def _holds(wide: str, narrow: str) -> bool:
    """Whether one Arrow type holds every value of the other exactly. `schema.py` widens tables for the same changes."""
    if wide in _INTEGERS and narrow in _INTEGERS:
        return _INTEGERS.index(wide) >= _INTEGERS.index(narrow)
    left, right = _DECIMAL.match(wide), _DECIMAL.match(narrow)
    return bool(left and right and left[2] == right[2] and int(left[1]) >= int(right[1]))
