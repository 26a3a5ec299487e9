"""Writes what a catalog says into a source's `defs.yaml`: new tables, and what has changed of declared ones.

What a person wrote stays: descriptions, owners, options, comments, and each type, key and `nullable` that the catalog
doesn't contradict.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from data_platform.contract import Contract, column_name
from data_platform.feeds.discovery import CatalogColumn, CatalogTable, Change, changes, free_name
from data_platform.feeds.documents import Document
from data_platform.feeds.spec import FeedSpec
from data_platform.feeds.splices import Splices, entry_of, written

_INDENT = 4
"""Of the first table of a source that has none yet."""


def with_found(
    document: Document, listed_in: str, feeds: Mapping[str, FeedSpec], tables: Sequence[CatalogTable]
) -> tuple[str, list[str]]:
    """The document's text with the tables, and what the person who reviews it has to know. `listed_in`: the attribute
    that lists the source's tables. `feeds`: the declared tables, by their names in it."""
    items = _listed(document, listed_in)
    nodes = {_named(item): item for item in items.value}
    splices, notes = Splices(document.text), []
    new: list[list[str]] = []
    taken = set(feeds)
    for table in tables:
        if table.feed is None:
            name = free_name(table.table, taken)
            taken.add(name)
            new.append(list(_declaration(table, name)))
            notes += [f"{table.name}.{column.name}: {column.note}" for column in table.columns if column.note]
        else:
            feed = feeds[table.feed]
            notes += _update(splices, nodes[table.feed], feed.contract, table)
    if new:
        lines = [line for declaration in new for line in ([""] if declaration is not new[0] else []) + declaration]
        splices.append(items, _INDENT, lines, apart="\n")
    return splices.result(), notes


def _update(splices: Splices, item: yaml.MappingNode, contract: Contract, table: CatalogTable) -> Iterator[str]:
    """Changes a declared table's contract. Gives the notes."""
    declared = _value(item, "contract")
    columns = _value(declared, "columns")
    nodes = {_text(each, "name"): each for each in columns.value}
    found = changes(contract, table)
    gone = [change.column for change in found if change.what == "gone"]
    added = [change for change in found if change.what == "added"]
    if contract.drift == "ignore" and added:
        yield f"{table.name}: {', '.join(change.column for change in added)}: left out, as drift is ignore"
        added = []
    if gone and added:
        yield (
            f"{table.name}: if {', '.join(gone)} was renamed to {' or '.join(change.column for change in added)}, write"
            f" renamed_from: {gone[0]} in the new column: its values stay"
        )
    names = {column.header: column.name for column in contract.columns}
    names |= {change.found.name: change.column for change in added if change.found}
    for change in found:
        node = nodes.get(change.column)
        if change.what == "gone" and node is not None:
            splices.remove(columns, node)
        elif change.what == "key":
            key = [names[header] for header in change.key if header in names]
            splices.set(declared, "key", key, after=None)
        elif node is not None and change.found is not None:
            yield from _update_column(splices, node, change, change.found, table)
    for change in added:
        assert change.found is not None  # noqa: S101 - it was found
        if change.found.note:
            yield f"{table.name}.{change.found.name}: {change.found.note}"
    if added:
        key = next((list(change.key) for change in found if change.what == "key"), [])
        lines = [line for change in added if change.found for line in _column(change.found, change.column, key)]
        splices.append(columns, columns.start_mark.column, lines)


def _update_column(
    splices: Splices, node: yaml.MappingNode, change: Change, found: CatalogColumn, table: CatalogTable
) -> Iterator[str]:
    if change.what == "type":
        splices.set(node, "type", found.type, after="name")
        for option, value in found.options.items():
            if entry_of(node, option) is None:
                splices.set(node, option, value, after="type")
        if found.note:
            yield f"{table.name}.{found.name}: {found.note}"
    elif change.what == "not_null" and entry_of(node, "nullable") is None:
        splices.set(node, "nullable", False, after="type")
    elif change.what == "described" and entry_of(node, "description") is None:
        last = node.value[-1][0].value
        splices.set(node, "description", found.description, after=last)


def _declaration(table: CatalogTable, name: str) -> Iterator[str]:
    """The lines that declare a new table."""
    names: dict[str, str] = {}
    for column in table.columns:
        names[column.name] = free_name(column_name(column.label or column.name), set(names.values()))
    key = table.keys[0] if table.keys else ()
    yield f"- table: {name}"
    for field, value in table.identity.items():
        yield f"  {field}: {written(value)}"
    yield f"  description: {written(table.description or f'The table {table.name}.')}"
    yield "  contract:"
    if key:
        yield f"    key: {written([names[header] for header in key])}"
    yield "    columns:"
    for column in table.columns:
        for line in _column(column, names[column.name], key):
            yield f"      {line}"


def _column(column: CatalogColumn, name: str, key: Sequence[str]) -> Iterator[str]:
    declared: dict[str, Any] = {"name": name, "type": column.type}
    if name != column.name:
        declared["source_name"] = column.name
    declared |= column.options
    if not column.nullable or column.name in key:
        declared["nullable"] = False
    if column.description:
        declared["description"] = column.description
    if column.note:
        yield f"# {' '.join(column.note.split())}"
    yield f"- {written(declared)}"


def _listed(document: Document, listed_in: str) -> yaml.SequenceNode:
    node: Any = yaml.compose(document.text, Loader=yaml.SafeLoader)
    for part in ("attributes", listed_in):
        node = _value(node, part)
    assert isinstance(node, yaml.SequenceNode)  # noqa: S101 - the document was validated
    return node


def _value(node: Any, key: str) -> Any:
    found = entry_of(node, key)
    assert found is not None  # noqa: S101 - the document was validated
    return found[1]


def _text(node: yaml.MappingNode, key: str) -> str:
    return str(_value(node, key).value)


def _named(item: yaml.MappingNode) -> str:
    return _text(item, "table")
