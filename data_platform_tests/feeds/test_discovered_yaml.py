"""What a catalog says goes into the YAML; what a person wrote there stays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_platform.contract import parse_type
from data_platform.extract.discovery import KINDS
from data_platform.feeds.databases import DatabaseDeclaration, SqlTableSpec
from data_platform.feeds.discovered_yaml import with_found
from data_platform.feeds.discovery import CatalogColumn, CatalogTable, changes, holds
from data_platform.feeds.documents import Document, parse
from data_platform.feeds.splices import written

FILE = Path("sources/databases/city/defs.yaml")
HEAD = """\
# The city's register.
type: data_platform.components.SqlTables

attributes:
  description: A register.
  time_zone: UTC
  owners: ["team:records"]
  connection: city
"""
TEXT = f"""{HEAD}  tables:
    # Read whole.
    - table: addresses  # the city's
      from: register.addresses
      description: Addresses, by hand.
      owners: ["team:gis"]
      contract:
        key: [id]
        drift: reject
        columns:
          - {{name: id, type: int32, nullable: false, description: By hand}}  # kept
          # About the street.
          - {{name: street, type: string, description: Its street}}
          # It goes with its comment.
          - {{name: old, type: string}}
          - name: shape
            type: geometry(4326)

    - {{table: fees, description: Fees., contract: {{columns: [{{name: id, type: int64}}, {{name: x, type: date}}]}}}}
"""
ID = CatalogColumn("id", "integer", "int32", nullable=False, description="The database's")
STREET = CatalogColumn("street", "text", "string", nullable=False)
SHAPE = CatalogColumn("shape", "geometry(Point,4326)", "geometry(4326)", description="Where it is")
ADDRESSES = CatalogTable(
    "addresses",
    "register.addresses",
    "addresses",
    (ID, STREET, CatalogColumn("old", "text", "string"), SHAPE),
    {"from": "register.addresses"},
    keys=(("id",),),
)


def declared(text: str) -> dict[str, SqlTableSpec]:
    found = Document(FILE, text, parse(text)).attributes(DatabaseDeclaration)
    return {spec.table: spec for _, read in found.feeds(FILE) for spec in [read()]}


def merged(text: str, *tables: CatalogTable) -> tuple[str, list[str]]:
    return with_found(Document(FILE, text, parse(text)), "tables", declared(text), tables)


def lines_changed(before: str, after: str) -> tuple[list[str], list[str]]:
    old, new = before.splitlines(), after.splitlines()
    return [line.strip() for line in old if line not in new], [line.strip() for line in new if line not in old]


def test_what_the_contract_lacks_is_filled_in_and_the_rest_stays() -> None:
    after, notes = merged(TEXT, ADDRESSES)
    assert lines_changed(TEXT, after) == (
        ["- {name: street, type: string, description: Its street}"],
        ["- {name: street, type: string, nullable: false, description: Its street}", "description: Where it is"],
    )
    assert notes == []
    assert merged(after, ADDRESSES)[0] == after  # there is nothing left to do


def test_columns_come_go_and_change() -> None:
    wider = replace(ID, found="bigint", type="int64")
    area = CatalogColumn("Lot Area", "numeric", "string", also=("decimal",), note="Any number of digits.")
    table = replace(ADDRESSES, columns=(wider, STREET, SHAPE, area))
    after, notes = merged(TEXT, table)
    columns = declared(after)["addresses"].contract.columns
    assert [(column.name, column.type, column.header) for column in columns] == [
        ("id", "int64", "id"),
        ("street", "string", "street"),
        ("shape", "geometry(4326)", "shape"),
        ("lot_area", "string", "Lot Area"),
    ]
    assert "By hand}  # kept" in after
    assert "It goes with its comment" not in after
    assert notes == [
        "register.addresses: if old was renamed to lot_area, write renamed_from: old in the new column: its values"
        " stay",
        "register.addresses.Lot Area: Any number of digits.",
    ]


def test_a_type_by_hand_stays_where_the_catalog_does_not_contradict_it() -> None:
    hand = TEXT.replace("name: street, type: string", "name: street, type: 'decimal(9,2)'")
    free = CatalogColumn("street", "numeric", "string", also=("decimal",))
    assert merged(hand, replace(ADDRESSES, columns=(ID, free, *ADDRESSES.columns[2:])))[0].count("decimal(9,2)") == 1


def test_a_column_that_the_contract_ignores_is_not_added() -> None:
    ignoring = TEXT.replace("drift: reject", "drift: ignore")
    table = replace(ADDRESSES, columns=(*ADDRESSES.columns, CatalogColumn("secret", "text", "string")))
    after, notes = merged(ignoring, table)
    assert "secret" not in after
    assert notes == ["register.addresses: secret: left out, as drift is ignore"]


def test_a_table_on_one_line_is_changed_in_its_line() -> None:
    fees = CatalogTable(
        "fees",
        "public.fees",
        "fees",
        (replace(ID, type="int64"), CatalogColumn("paid", "date", "date")),
        keys=(("id",),),
    )
    after, _ = merged(TEXT, fees)
    assert lines_changed(TEXT, after)[1] == [
        "- {table: fees, description: Fees., contract: {key: [id], columns: [{name: id, type: int64, nullable: false,"
        " description: The database's}, {name: paid, type: date}]}}"
    ]


def test_another_key_of_the_catalog_replaces_the_contracts() -> None:
    table = replace(ADDRESSES, columns=(*ADDRESSES.columns,), keys=(("street",),))
    after, _ = merged(TEXT, table)
    assert declared(after)["addresses"].contract.key == ("street",)
    assert [change.told for change in changes(declared(TEXT)["addresses"].contract, table) if change.told] == [
        "the key is street; the contract says id"
    ]
    unique = replace(table, keys=(("street",), ("id",)))
    assert declared(merged(TEXT, unique)[0])["addresses"].contract.key == ("id",)


def test_tables_are_added_to_a_source_that_has_some_or_none() -> None:
    new = replace(ADDRESSES, feed=None, table="parcels", name="register.parcels", identity={"from": "register.parcels"})
    after, _ = merged(TEXT, new, replace(new, identity={"from": "gis.parcels"}))
    assert list(declared(after)) == ["addresses", "fees", "parcels", "parcels_2"]
    assert declared(after)["parcels"].relation == ("register", "parcels")
    assert after.startswith(TEXT.rstrip())
    (kind,) = (kind for kind in KINDS if kind.component == "SqlTables")
    empty = kind.new_document("city")
    begun, _ = merged(empty, new)
    assert begun.startswith(empty.removesuffix(" []\n"))
    assert declared(begun)["parcels"].contract.key == ("id",)
    assert not any(line != line.rstrip() for line in begun.splitlines())


@given(st.text())
def test_any_comment_of_a_catalog_is_one_line_of_yaml(text: str) -> None:
    line = f"- {written({'name': 'a', 'description': text})}"
    assert "\n" not in line
    assert parse(line) == [{"name": "a", "description": " ".join(text.split())}]


NUMBERS = ("int8", "int16", "int32", "int64", "decimal(3,0)", "decimal(18,0)", "decimal(19,0)", "decimal(12,2)")


@pytest.mark.parametrize("declared_type", NUMBERS)
@pytest.mark.parametrize("found", NUMBERS)
def test_a_type_holds_another_if_it_holds_its_largest_and_finest_values(declared_type: str, found: str) -> None:
    def largest(type_: str) -> tuple[int, int]:
        logical = parse_type(type_)
        if logical.name == "decimal":
            precision, scale = logical.args
            return 10 ** (precision - scale) - 1, scale
        return int(2 ** (int(logical.name.removeprefix("int")) - 1)), 0

    (room, fine), (value, wanted) = largest(declared_type), largest(found)
    assert holds(parse_type(declared_type), parse_type(found)) == (value <= room and wanted <= fine)


def test_what_is_no_number_holds_itself_and_text_holds_all() -> None:
    types: list[Any] = ["boolean", "date", "time", "timestamp", "json", "binary", "geometry(4326)", "float", "string"]
    for one in types:
        for other in types:
            assert holds(parse_type(one), parse_type(other)) == (one in (other, "string"))
    assert not holds(parse_type("geometry(2263)"), parse_type("geometry(4326)"))
    assert holds(parse_type("float"), parse_type("int32"))
    assert not holds(parse_type("float"), parse_type("int64"))
