"""The schema of an Airtable base or a Knack application as declarations.

https://airtable.com/developers/web/api/field-model: the types of fields and their values. Knack documents its fields at
https://docs.knack.com/docs/field-types; their formats are in the application's schema.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from data_platform.contract import TypeName, column_name
from data_platform.extract.web.airtable import AIRTABLE, base_tables
from data_platform.extract.web.client import Address, ApiClient
from data_platform.extract.web.knack import KNACK, application_objects
from data_platform.feeds.discovery import CatalogColumn, CatalogTable, Found, Wanted
from data_platform.feeds.web_apis import AirtableDeclaration, AirtableTableSpec, KnackDeclaration, KnackObjectSpec

_NUMBERS: tuple[TypeName, ...] = ("int8", "int16", "int32", "int64", "decimal", "float")
_ERRORS = "a formula's error, such as a division by zero, is a reject"
_TEXTS = ("singleLineText", "multilineText", "richText", "email", "url", "phoneNumber", "singleSelect")
_COUNTS = ("autoNumber", "count", "rating")
_COMPUTED = ("formula", "rollup", "lastModifiedTime", "createdTime")
_KNACK_TEXTS = ("short_text", "paragraph_text", "rich_text", "concatenation")
_KNACK_COMPUTED = ("equation", "sum", "average", "min", "max", "rating")


@dataclass(frozen=True)
class _Table:
    """A table or object of a service: its id and label, and its columns, those of the record itself first."""

    id: str
    label: str
    description: str
    columns: tuple[CatalogColumn, ...]


def read_base(declaration: AirtableDeclaration, url: str, feeds: Sequence[AirtableTableSpec], wanted: Wanted) -> Found:
    """What the base's schema says of the tables of the feeds, and of those that are wanted. Raises ApiFailed."""
    with ApiClient(AIRTABLE, Address.of(url)) as client:
        tables = base_tables(client, declaration.base, f"the base {declaration.base}")
    return _found([_airtable_table(table) for table in tables], feeds, wanted, "base")


def read_application(
    declaration: KnackDeclaration, url: str, feeds: Sequence[KnackObjectSpec], wanted: Wanted
) -> Found:
    """What the application's schema says of the objects of the feeds, and of those that are wanted. Raises
    ApiFailed."""
    with ApiClient(KNACK, Address.of(url)) as client:
        objects = application_objects(client, f"the application of the connection {declaration.connection}")
    return _found([_knack_object(each, declaration.time_zone) for each in objects], feeds, wanted, "application")


def _found(
    tables: Sequence[_Table], feeds: Sequence[AirtableTableSpec | KnackObjectSpec], wanted: Wanted, place: str
) -> Found:
    by_id = {table.id: table for table in tables}
    by_name = {**{table.label: table for table in tables}, **by_id}
    declared = {feed.from_ for feed in feeds}
    asked = {by_name[name].id: by_name[name] for name in wanted.tables if name in by_name}
    found = [_catalog_table(by_id[feed.from_], feed) for feed in feeds if feed.from_ in by_id]
    found += [_catalog_table(table, None) for id, table in asked.items() if id not in declared]
    there = ", ".join(f"{table.id} ({table.label})" for table in tables) or "none"
    notes = [
        *(
            f"{feed.from_}, which {feed.name} reads, is not in the {place}; remove the feed"
            for feed in feeds
            if feed.from_ not in by_id
        ),
        *(f"there is no table {name} in the {place}; it has {there}" for name in wanted.tables if name not in by_name),
        *(f"a {place} has no schema {schema}; name tables with --table" for schema in wanted.schemas),
    ]
    return Found(tuple(found), tuple(notes))


def _catalog_table(table: _Table, feed: AirtableTableSpec | KnackObjectSpec | None) -> CatalogTable:
    """`feed`: of a declared table, whose contract need not have everything that a record has besides its fields."""
    columns = table.columns
    if feed is not None:
        headers = {column.header for column in feed.contract.columns}
        columns = tuple(each for each in columns if each.name not in feed.record_fields or each.name in headers)
    return CatalogTable(
        feed.table if feed else None,
        f"{table.id} ({table.label})",
        column_name(table.label),
        columns,
        {"from": table.id},
        table.description or f"The records of {table.label}.",
        (("id",),),
    )


def _airtable_table(table: Mapping[str, Any]) -> _Table:
    own = (
        CatalogColumn("id", "the record's id", "string", nullable=False, description="The record", label="record_id"),
        CatalogColumn("createdTime", "a time", "timestamp", description="When it was made", label="created_at"),
    )
    fields = tuple(_airtable_column(field) for field in table["fields"])
    return _Table(table["id"], table["name"], table.get("description") or "", (*own, *fields))


def _airtable_column(field: Mapping[str, Any]) -> CatalogColumn:
    type_, also = _airtable_type(field["type"], field.get("options") or {})
    return CatalogColumn(
        field["id"],
        field["type"],
        type_,
        description=field.get("description") or field["name"],
        also=also,
        note=f"{field['name']}: {_ERRORS}" if field["type"] in ("formula", "rollup") else "",
        label=field["name"],
    )


def _airtable_type(name: str, options: Mapping[str, Any]) -> tuple[str, tuple[TypeName, ...]]:
    """The contract's type of a field, and others that it may have."""
    if name in _TEXTS:
        return "string", ()
    if name in ("number", "currency"):
        digits = int(options.get("precision") or 0)
        return (f"decimal(18,{digits})" if digits or name == "currency" else "int64"), _NUMBERS
    if name in _COUNTS:
        return "int64", _NUMBERS
    if name in ("percent", "duration"):
        return "float", _NUMBERS
    if name == "checkbox":
        return "boolean", ()
    if name in ("date", "dateTime"):
        return ("date" if name == "date" else "timestamp"), ()
    result = options.get("result") or {}
    if name in _COMPUTED and result.get("type"):
        return _airtable_type(result["type"], result.get("options") or {})
    if name in ("createdTime", "lastModifiedTime"):
        return "timestamp", ()
    return "json", ("string",)


def _knack_object(each: Mapping[str, Any], zone: str) -> _Table:
    own = CatalogColumn("id", "the record's id", "string", nullable=False, description="The record", label="record_id")
    fields = tuple(_knack_column(field, zone) for field in each["fields"])
    return _Table(each["key"], each["name"], "", (own, *fields))


def _knack_column(field: Mapping[str, Any], zone: str) -> CatalogColumn:
    type_, also = _knack_type(field["type"], field.get("format") or {})
    timed = type_ == "timestamp"
    return CatalogColumn(
        field["key"],
        field["type"],
        type_,
        description=field["name"],
        also=also,
        options={"time_zone": zone} if timed else {},
        note=f"{field['name']}: check time_zone: it is that of the application's clock" if timed else "",
        label=field["name"],
    )


def _knack_type(name: str, format: Mapping[str, Any]) -> tuple[str, tuple[TypeName, ...]]:
    """The contract's type of a field, and others that it may have."""
    if name in _KNACK_TEXTS:
        return "string", ()
    if name == "number":
        digits = str(format.get("precision") or "")
        whole = digits == "0"
        return ("int64" if whole else f"decimal(18,{digits})" if digits.isdigit() else "float"), _NUMBERS
    if name == "currency":
        return "decimal(18,2)", _NUMBERS
    if name in ("auto_increment", "count"):
        return "int64", _NUMBERS
    if name in _KNACK_COMPUTED:
        return "float", _NUMBERS
    if name == "boolean":
        return "boolean", ()
    if name == "date_time" and not format.get("calendar"):
        if format.get("date_format") == "Ignore Date":
            return "time", ()
        return ("date" if format.get("time_format") == "Ignore Time" else "timestamp"), ()
    if name == "multiple_choice" and format.get("type") not in ("multi", "checkboxes"):
        return "string", ()
    return "json", ("string",)
