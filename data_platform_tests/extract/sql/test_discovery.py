"""What the catalog of a real PostgreSQL with PostGIS becomes: declarations that read every type."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from click.testing import CliRunner

from data_platform.cli import discover, main
from data_platform.contract import Column, TypeName
from data_platform.environment import settings
from data_platform.extract.sql.discovery import read_catalog
from data_platform.extract.sql.fields import ColumnReader
from data_platform.extract.sql.postgres.session import PostgresSession
from data_platform.feeds.databases import DatabaseDeclaration
from data_platform.feeds.discovery import Wanted
from data_platform_tests.servers.postgis import postgis, postgis_server
from data_platform_tests.servers.postgres import Database

__all__ = ["postgis", "postgis_server"]

TYPES = {
    "smallint": "int16",
    "integer": "int32",
    "bigint": "int64",
    "oid": "int64",
    "numeric": "string",
    "numeric(12,2)": "decimal(12,2)",
    "numeric(3,-2)": "decimal(5,0)",
    "numeric(2,4)": "decimal(4,4)",
    "numeric(38)": "decimal(38,0)",
    "numeric(60,30)": "string",
    "real": "float",
    "double precision": "float",
    "money": "decimal(19,2)",
    "boolean": "boolean",
    "date": "date",
    "time": "time",
    "timetz": "string",
    "timestamp": "timestamp",
    "timestamptz": "timestamp",
    "interval": "string",
    "text": "string",
    "varchar(10)": "string",
    "char(3)": "string",
    "uuid": "string",
    "bytea": "binary",
    "json": "json",
    "jsonb": "json",
    "hstore": "json",
    "int[]": "json",
    "text[][]": "json",
    "point": "string",
    "inet": "string",
    "cidr": "string",
    "macaddr": "string",
    "bit(3)": "string",
    "varbit": "string",
    "xml": "string",
    "tsvector": "string",
    "int4range": "string",
    "int8multirange": "string",
    "tstzrange": "string",
    "mood": "string",
    "cents": "int32",
    "pair": "json",
    "mood[]": "json",
    "geometry": "binary",
    "geometry(Point,4326)": "geometry(4326)",
    "geometry(MultiPolygon,2263)": "geometry(2263)",
    "geometry(PointZ,4326)": "binary",
    "geography": "geometry(4326)",
    "geography(Point,4326)": "geometry(4326)",
}


@pytest.fixture
def every_type(postgis: Database) -> Database:
    columns = ", ".join(f"c{number} {type_}" for number, type_ in enumerate(TYPES))
    postgis.run(
        "CREATE TYPE mood AS ENUM ('sad', 'ok')",
        "CREATE DOMAIN cents AS int CHECK (VALUE >= 0)",
        "CREATE TYPE pair AS (x int, y text)",
        f"CREATE TABLE t ({columns})",
    )
    return postgis


def test_every_type_has_a_type_of_the_contract_that_reads_it(every_type: Database) -> None:
    with PostgresSession.opened(every_type.url, "test") as session:
        table = session.tables([(None, "t")], ())[None, "t"]
    columns = list(table.columns.values())
    found = {type_: session.described(column, "UTC") for type_, column in zip(TYPES, columns, strict=True)}
    assert {type_: column.type for type_, column in found.items()} == TYPES
    for type_, column in zip(TYPES, columns, strict=True):
        for name in get_args(TypeName):
            arguments = {"decimal": "(38,10)", "geometry": "(4326)"}.get(name, "")
            zone = "UTC" if name == "timestamp" else None
            declared = Column(name="c", type=f"{name}{arguments}", time_zone=zone)
            if found[type_].fits(declared):
                assert isinstance(session.reader(declared, column), ColumnReader), (type_, declared.type)


def declared(*tables: str) -> DatabaseDeclaration:
    return DatabaseDeclaration.model_validate(
        {
            "description": "A register.",
            "time_zone": "America/New_York",
            "owners": ["team:records"],
            "connection": "city",
            "tables": [
                {"table": table, "description": ".", "contract": {"columns": [{"name": "id", "type": "int64"}]}}
                for table in tables
            ],
        }
    )


def test_tables_are_found_by_name_and_by_schema(postgis: Database) -> None:
    postgis.run(
        'CREATE SCHEMA "Register"',
        'CREATE TABLE "Register"."Land Use" (id bigint, "Zone Code" text NOT NULL, PRIMARY KEY (id))',
        """COMMENT ON TABLE "Register"."Land Use" IS 'How land may be used'""",
        """COMMENT ON COLUMN "Register"."Land Use"."Zone Code" IS 'The zone'""",
        'CREATE UNIQUE INDEX ON "Register"."Land Use" ("Zone Code")',
        'CREATE UNIQUE INDEX ON "Register"."Land Use" (lower("Zone Code"))',
        'CREATE VIEW "Register".open AS SELECT * FROM "Register"."Land Use"',
        'CREATE TABLE "Register".p (d date) PARTITION BY RANGE (d)',
        """CREATE TABLE "Register".p1 PARTITION OF "Register".p FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')""",
        "CREATE TABLE t (id bigint, at timestamp)",
    )
    declaration = declared("t", "lost")
    feeds = [read() for _, read in declaration.feeds(Path("sources/databases/city/defs.yaml"))]
    found = read_catalog(declaration, postgis.url, feeds, Wanted(("nothing",), ("Register", "none")))
    assert [(table.feed, table.name, table.table) for table in found.tables] == [
        ("t", "public.t", "t"),
        (None, "Register.Land Use", "land_use"),
        (None, "Register.open", "open"),
        (None, "Register.p", "p"),
    ]
    t, land = found.tables[:2]
    assert t.columns[1].options == {"time_zone": "America/New_York"}
    assert (land.description, land.keys) == ("How land may be used", (("id",), ("Zone Code",)))
    assert (land.columns[1].description, land.columns[1].nullable) == ("The zone", False)
    assert found.notes == (
        "lost, which city/lost reads, is not in the database; remove the feed",
        "there is no table nothing in the database",
        "no table is in the schema none",
    )


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, postgis: Database) -> Iterator[Path]:
    """A folder `defs/` without sources, and the settings of a connection `city`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(discover, "DEFS", tmp_path / "defs")
    monkeypatch.setenv("DATA_PLATFORM_CONNECTION_CITY", postgis.url)
    settings.cache_clear()
    yield tmp_path / "defs" / "sources" / "databases" / "city" / "defs.yaml"
    settings.cache_clear()


def run(*arguments: str) -> str:
    result = CliRunner().invoke(main, ["discover", *arguments])
    assert result.exit_code == 0, result.output
    return result.output


def test_a_source_begins_and_follows_its_catalog(project: Path, postgis: Database) -> None:
    postgis.run(
        "CREATE TABLE parcels (id int PRIMARY KEY, area numeric, shape geometry(Point,4326))",
        "CREATE TABLE other (id int)",
    )
    shown = run("city", "--new", "SqlTables", "--table", "public.parcels")
    assert '+          - {name: shape, type: "geometry(4326)"}' in shown
    assert "note: public.parcels.area: numeric may have more digits than a decimal" in shown
    assert "Nothing is written" in shown
    assert not project.exists()
    run("city", "--new", "SqlTables", "--table", "public.parcels", "--write")
    by_hand = project.read_text().replace("description: The table public.parcels.", "description: Land.  # by hand")
    project.write_text(by_hand)
    assert run("city") == "city: 1 tables are as the catalog describes them\n"
    postgis.run("ALTER TABLE parcels ALTER id TYPE bigint, ADD owner text, DROP shape")
    assert "-          - {name: shape" in run("city", "--write")
    assert project.read_text() == (
        by_hand.replace("type: int32", "type: int64").replace(
            '{name: shape, type: "geometry(4326)"}', "{name: owner, type: string}"
        )
    )
    assert "+    - table: other" in run("city", "--schema", "public")


def test_what_can_not_be_discovered_is_wrong_usage(project: Path) -> None:
    result = CliRunner().invoke(main, ["discover", "town"])
    assert (result.exit_code, "begin it with --new SqlTables" in result.output) == (2, True)
    result = CliRunner().invoke(main, ["discover", "town", "--new", "Nothing"])
    assert (result.exit_code, "expected a component whose catalog can be read" in result.output) == (2, True)
