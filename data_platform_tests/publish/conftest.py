"""CARTO's double on both kinds of PostgreSQL, and datasets to publish."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
import pyarrow as pa
import pytest

from data_platform.local_cloud.web.carto import Carto
from data_platform.local_cloud.web.server import WebApis
from data_platform.publish.carto.client import CartoClient
from data_platform.publish.carto.target import CartoTarget
from data_platform.publish.rows import Rows, write_rows
from data_platform.publish.spec import CartoPublication, Dataset
from data_platform.publish.target import Stamp
from data_platform_tests.local_cloud.web.apis import Clock
from data_platform_tests.servers.postgis import postgis, postgis_server
from data_platform_tests.servers.postgres import Database, database, postgres_server

__all__ = ["database", "postgis", "postgis_server", "postgres_server"]

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
    connection = psycopg2.connect(f"{postgres_server}postgres")
    connection.autocommit = True
    connection.cursor().execute("CREATE DATABASE carto")
    connection.close()
    return Database(f"{postgres_server}carto")


@pytest.fixture
def embedded(embedded_database: Database, tmp_path: Path) -> Iterator[Account]:
    """An empty account on the local cloud's PostgreSQL alone, for what PostGIS has no part in."""
    clock = Clock()
    with WebApis([Carto(embedded_database.url, KEY, postgis=False, clock=clock)]).running() as web:
        yield Account(web, embedded_database, tmp_path, clock)
    embedded_database.run("DROP OWNED BY carto_account CASCADE")
