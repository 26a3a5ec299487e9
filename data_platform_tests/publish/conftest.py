"""CARTO's double on both kinds of PostgreSQL, and marts and datasets to publish."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
import pyarrow as pa
import pytest
from snowflake.connector import SnowflakeConnection

from data_platform.environment import Settings
from data_platform.local_cloud.web.carto import Carto
from data_platform.local_cloud.web.server import WebApis
from data_platform.publish.carto.client import CartoClient
from data_platform.publish.carto.target import CartoTarget
from data_platform.publish.rows import Rows, write_rows
from data_platform.publish.spec import CartoPublication, Dataset, FilesPublication
from data_platform.publish.target import Stamp
from data_platform_tests.local_cloud.web.apis import Clock
from data_platform_tests.servers.postgis import postgis, postgis_server
from data_platform_tests.servers.postgres import Database, database, postgres_server
from data_platform_tests.warehouse.conftest import cloud, connection

__all__ = ["cloud", "connection", "database", "postgis", "postgis_server", "postgres_server"]

KEY = "k3y"
FIELDS = {
    "id": "number(9,0)",
    "name": "varchar(16777216)",
    "cost": "number(9,2)",
    "lon": "number(9,6)",
    "lat": "number(9,6)",
}


def trees(**changed: Any) -> Dataset:
    """A dataset of points."""
    given = {
        "from": "marts/trees",
        "description": "Trees.",
        "owners": ("team:parks",),
        "key": ("id",),
        "geometry": {"longitude": "lon", "latitude": "lat"},
        "select_users": ("publicuser",),
        "indexes": ("name",),
    }
    return Dataset(name="trees", publication=CartoPublication.model_validate({**given, **changed}))


@dataclass
class Account:
    """A CARTO account on a database of its own, with a clock that only waiting moves."""

    web: WebApis
    database: Database
    folder: Path
    clock: Clock

    @property
    def url(self) -> str:
        return f"http://account:{KEY}@127.0.0.1:{self.web.port}/carto"

    @contextmanager
    def client(self) -> Iterator[CartoClient]:
        """A client of the account."""
        with closing(CartoClient(self.url, clock=self.clock, sleep=self.clock.sleep, jitter=lambda: 1.0)) as client:
            yield client

    @contextmanager
    def target(self, dataset: Dataset | None = None) -> Iterator[CartoTarget]:
        """The dataset's target, as a run opens it."""
        made = dataset or trees()
        assert isinstance(made.publication, CartoPublication)
        with self.client() as client:
            yield CartoTarget(client, made.name, made.publication)

    def rows(self, number: int, *, name: str = "Oak", definition: str = "") -> Rows:
        """So many rows."""
        table = pa.table(
            {
                "ID": [str(place) for place in range(number)],
                "NAME": [f'{name} "{place}"\t\\ é' if place else None for place in range(number)],
                "COST": [f"{place}.50" for place in range(number)],
                "LON": [f"{-75 - place / 1000:.6f}" for place in range(number)],
                "LAT": ["39.950000"] * number,
                "LONGITUDE__": [-75 - place / 1000 for place in range(number)],
                "LATITUDE__": [39.95] * number,
            }
        )
        path = self.folder / f"{number}{name}.arrow"
        return write_rows(path, trees(), FIELDS, [table], "q1", definition)

    def published(self, sql: str = "SELECT count(*), max(name) FROM trees") -> list[tuple[Any, ...]]:
        return self.database.run(sql)

    def tables(self) -> set[str]:
        found = self.database.run(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        )
        return {name for (name,) in found} - {"spatial_ref_sys"}


def stamp(rows: Rows, at: str = "2026-03-08T11:00:00+00:00") -> Stamp:
    return Stamp(rows.fingerprint[:12], rows.fingerprint, rows.number, at, "marts/trees", rows.query_id, "run")


@pytest.fixture(params=["embedded", "postgis"])
def account(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Account]:
    """An account, on the local cloud's PostgreSQL and on one with PostGIS."""
    with_postgis = request.param == "postgis"
    found: Database = request.getfixturevalue("postgis" if with_postgis else "database")
    clock = Clock()
    carto = Carto(found.url, KEY, postgis=with_postgis, clock=clock)
    with WebApis([carto]).running() as web:
        yield Account(web, found, tmp_path, clock)


@pytest.fixture(scope="module")
def embedded_database(postgres_server: str) -> Database:
    """A database that the tests of a module share, as making one takes longer than a test."""
    name = f"carto_{uuid.uuid4().hex[:8]}"
    connection = psycopg2.connect(f"{postgres_server}postgres")
    connection.autocommit = True
    connection.cursor().execute(f"CREATE DATABASE {name}")
    connection.close()
    return Database(f"{postgres_server}{name}")


@pytest.fixture
def embedded(embedded_database: Database, tmp_path: Path) -> Iterator[Account]:
    """An empty account on the local cloud's PostgreSQL alone, for what PostGIS has no part in."""
    clock = Clock()
    with WebApis([Carto(embedded_database.url, KEY, postgis=False, clock=clock)]).running() as web:
        yield Account(web, embedded_database, tmp_path, clock)
    embedded_database.run("DROP OWNED BY carto_account CASCADE")


ROWS = """SELECT * FROM VALUES
    (2, 'Elm, "old"', 7.10, TRUE, '2026-03-08'::DATE, '2026-03-08 06:30:00.25 +00:00'::TIMESTAMP_TZ, -75.1, 39.9),
    (1, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
    (3, '', 0.05, FALSE, '0900-01-01'::DATE, '2026-11-01 05:30:00 +00:00'::TIMESTAMP_TZ, -75.2, 40.1)
    AS t (ID, NAME, COST, ALIVE, PLANTED, SEEN, LON, LAT)"""
TYPES = (
    "ID NUMBER(9,0), NAME VARCHAR, COST NUMBER(12,2), ALIVE BOOLEAN, PLANTED DATE, SEEN TIMESTAMP_TZ, LON NUMBER(9,6),"
    " LAT NUMBER(9,6)"
)


class Mart:
    """A table of a test's own, and the dataset that publishes it."""

    def __init__(self, connection: SnowflakeConnection, database: str) -> None:
        self.name = f"trees_{uuid.uuid4().hex[:8]}"
        self.connection, self.database = connection, database
        self.run(f"CREATE SCHEMA IF NOT EXISTS {database}.MARTS")
        self.run(f"CREATE TABLE {self.sql} ({TYPES})", f"INSERT INTO {self.sql} {ROWS}")

    @property
    def sql(self) -> str:
        return f"{self.database}.MARTS.{self.name.upper()}"

    def run(self, *statements: str) -> None:
        with self.connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def files(self, **changed: Any) -> Dataset:
        return files(self.name, **changed)


def files(name: str, **changed: Any) -> Dataset:
    """The mart of that name as files."""
    given = {
        "from": f"marts/{name}",
        "title": "Trees",
        "description": "Trees of the city.",
        "owners": ("team:parks",),
        "key": ("id",),
        "geometry": {"longitude": "lon", "latitude": "lat"},
        "publisher": "Port Meridian",
        "contact": {"name": "Data desk", "email": "data@portmeridian.example"},
        "keywords": ("trees",),
        "url": "https://data.portmeridian.example/publications",
    }
    return Dataset(name=name, publication=FilesPublication.model_validate({**given, **changed}))


@pytest.fixture
def mart(cloud: Settings, connection: SnowflakeConnection) -> Mart:
    return Mart(connection, cloud.snowflake.database)
