"""A mart is read from Snowflake exactly, published once for each state, and accounted for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import obstore
import pyarrow.parquet as pq
import pytest
import shapely
from obstore.store import MemoryStore

from data_platform.environment import Settings
from data_platform.lake.store import open_bucket
from data_platform.publish import ledger
from data_platform.publish.files.target import FilesTarget
from data_platform.publish.publish import publish, roll_back
from data_platform.publish.rows import read_rows
from data_platform.publish.target import GateFailed, PublicationFailed
from data_platform_tests.publish.conftest import Account, Mart, trees


def test_each_type_arrives_exactly_and_in_the_keys_order(mart: Mart) -> None:
    with read_rows(mart.connection, mart.database, mart.files(), "") as rows:
        (batch,) = rows.batches()
        found = batch.to_pylist()
        assert [row["id"] for row in found] == [1, 2, 3]
        assert found[1]["cost"].as_tuple() == (0, (7, 1, 0), -2)
        assert found[1]["seen"] == datetime(2026, 3, 8, 6, 30, 0, 250_000, UTC)
        assert str(found[2]["planted"]) == "0900-01-01" and found[2]["name"] == ""
        assert {name for name, value in found[0].items() if value is None} == set(found[0]) - {"id"}
        assert rows.extent == (-75.2, 39.9, -75.1, 40.1) and rows.kinds == ("Point",)
        first = rows.fingerprint
    mart.run(f"CREATE OR REPLACE TABLE {mart.sql} AS SELECT * FROM {mart.sql} ORDER BY ID DESC")
    with read_rows(mart.connection, mart.database, mart.files(), "") as again:
        assert again.fingerprint == first
    with read_rows(mart.connection, mart.database, mart.files(), "other grants") as other:
        assert other.fingerprint != first


def test_shapes_of_snowflakes_type_geometry_are_read_as_well_known_binary(mart: Mart) -> None:
    """ST_ASWKB and ST_SRID: https://docs.snowflake.com/en/sql-reference/functions/st_aswkb, .../st_srid."""
    square = shapely.to_wkb(shapely.box(0, 0, 2, 2), hex=True)
    mart.run(
        f"CREATE OR REPLACE TABLE {mart.sql} (ID NUMBER(9,0), SHAPE GEOMETRY)",
        f"INSERT INTO {mart.sql} SELECT 1, TO_GEOMETRY(TO_BINARY('{square}', 'HEX'), 4326)",
        f"INSERT INTO {mart.sql} SELECT 2, NULL",
    )
    dataset = mart.files(geometry={"column": "shape"})
    with read_rows(mart.connection, mart.database, dataset, "") as rows:
        (batch,) = rows.batches()
        assert batch.column("geometry")[0].as_py().hex().upper() == square.upper()
        assert batch.schema.names == ["id", "geometry"] and rows.kinds == ("Polygon",)
    mart.run(f"INSERT INTO {mart.sql} SELECT 3, TO_GEOMETRY(TO_BINARY('{square}', 'HEX'), 2272)")
    with (
        pytest.raises(GateFailed, match="SRID 2272; expected 4326"),
        read_rows(mart.connection, mart.database, dataset, ""),
    ):
        pass


@pytest.mark.parametrize(
    ("changed", "sql", "said"),
    [
        ({}, "UPDATE {} SET LAT = 91 WHERE ID = 3", r"the shape of row 3 \(id 3\) is not valid: from -75.2 91"),
        ({}, "DELETE FROM {}", "has no rows"),
        ({"columns": ("id", "gone")}, "SELECT 1", "has no column gone; it has id, name"),
        ({"geometry": {"column": "name"}}, "SELECT 1", "name is of type varchar.*; expected GEOMETRY"),
    ],
)
def test_what_is_not_fit_to_be_published_is_refused(mart: Mart, changed: Any, sql: str, said: str) -> None:
    mart.run(sql.format(mart.sql))
    target = FilesTarget(MemoryStore(), mart.name, mart.files().publication)  # type: ignore[arg-type]
    with pytest.raises(PublicationFailed, match=said):
        publish(mart.connection, mart.database, mart.files(**changed), target, run_id="r")
    assert target.current() is None


def test_a_mart_that_was_never_built_is_told_with_what_builds_it(mart: Mart) -> None:
    mart.run(f"DROP TABLE {mart.sql}")
    with (
        pytest.raises(PublicationFailed, match=rf"files/{mart.name}: marts/{mart.name} has no table.*run --select"),
        read_rows(mart.connection, mart.database, mart.files(), ""),
    ):
        pass


@pytest.fixture
def store(cloud: Settings) -> Iterator[Any]:
    yield open_bucket(cloud, cloud.lake_bucket)


def _keys(store: Any, mart: Mart) -> set[str]:
    prefix = f"publications/{mart.name}/"
    return {each["path"].removeprefix(prefix) for page in obstore.list(store, prefix=prefix) for each in page}


def test_files_are_published_once_for_each_state_and_can_be_rolled_back(mart: Mart, store: Any, tmp_path: Path) -> None:
    dataset = mart.files(rows_may_change_by=50)
    target = FilesTarget(store, mart.name, dataset.publication, descriptions={"id": "The tree."})  # type: ignore[arg-type]

    def go() -> Any:
        return publish(mart.connection, mart.database, dataset, target, run_id="r")

    first = go()
    assert (first.outcome, first.rows_before, first.stamp.rows) == ("published", None, 3)
    assert first.map and first.map.startswith("<svg") and "3 rows" in first.map
    assert go().outcome == "unchanged"
    pointer = json.loads(bytes(obstore.get(store, f"publications/{mart.name}/current.json").bytes()))
    files = {file["format"]: bytes(obstore.get(store, file["key"]).bytes()) for file in pointer["files"]}
    lines = files["csv"].decode().splitlines()
    assert lines[0] == '"id","name","cost","alive","planted","seen","lon","lat","geometry"'
    assert lines[1:] == [
        "1,,,,,,,,",
        '2,"Elm, ""old""",7.10,true,2026-03-08,2026-03-08 06:30:00.250000Z,-75.100000,39.900000,"POINT (-75.1 39.9)"',
        '3,"",0.05,false,0900-01-01,2026-11-01 05:30:00.000000Z,-75.200000,40.100000,"POINT (-75.2 40.1)"',
    ]
    features = json.loads(files["geojson"])["features"]
    assert features[1]["geometry"] == {"type": "Point", "coordinates": [-75.1, 39.9]}
    assert features[1]["properties"]["cost"] == 7.1 and b'"cost": 7.10,' in files["geojson"]
    assert features[0]["geometry"] is None and features[1]["properties"]["seen"] == "2026-03-08T06:30:00.250000Z"
    parquet = tmp_path / "trees.parquet"
    parquet.write_bytes(files["geoparquet"])
    geo = json.loads(pq.read_schema(parquet).metadata[b"geo"])
    assert geo["columns"]["geometry"] == {
        "encoding": "WKB",
        "geometry_types": ["Point"],
        "bbox": [-75.2, 39.9, -75.1, 40.1],
    }
    assert files["data dictionary"].decode().splitlines()[1] == "id,integer,The tree."
    told = pointer["dataset"]
    assert told["title"] == "Trees" and told["spatial"] == "-75.2,39.9,-75.1,40.1"
    assert told["distribution"][0]["downloadURL"] == (
        f"https://data.portmeridian.example/publications/{mart.name}/versions/{first.stamp.version}/{mart.name}.csv"
    )
    mart.run(f"DELETE FROM {mart.sql} WHERE ID = 1")
    second = go()
    assert (second.outcome, second.rows_before, second.stamp.rows) == ("published", 3, 2)
    back = roll_back(mart.connection, mart.database, dataset, target, "r2")
    assert back.version == first.stamp.version
    assert go().outcome == "held", "the version that was taken down isn't published again"
    mart.run(f"UPDATE {mart.sql} SET COST = 8 WHERE ID = 2")
    third = go()
    assert third.outcome == "published"
    assert {key.split("/")[1] for key in _keys(store, mart) if "/" in key} == {third.stamp.version, first.stamp.version}
    further = f"INSERT INTO {mart.sql} (ID) SELECT SEQ4() + 10 FROM TABLE(GENERATOR(ROWCOUNT => 9))"
    mart.run(f"DELETE FROM {mart.sql} WHERE ID = 3", further)
    with pytest.raises(GateFailed, match=r"10 rows, and 2 are published: a change of 400.0 %"):
        go()
    with mart.connection.cursor() as cursor:
        records = ledger.history(cursor, mart.database, dataset.id)
    assert [(each.outcome, each.rows_published, each.rows_before) for each in records] == [
        ("published", 2, 3),
        ("rolled back", 3, 2),
        ("published", 2, 3),
        ("published", 3, None),
    ]


def test_of_two_runs_that_publish_at_once_one_is_refused(mart: Mart, store: Any) -> None:
    dataset = mart.files()
    target = FilesTarget(store, mart.name, dataset.publication)  # type: ignore[arg-type]
    publish(mart.connection, mart.database, dataset, target, run_id="r")

    class Slow(FilesTarget):
        def _upload(self, *given: Any) -> Any:
            if (now := target.current()) and now.stamp and now.stamp.run_id == "r":
                mart.run(f"UPDATE {mart.sql} SET COST = 9 WHERE ID = 3")
                publish(mart.connection, mart.database, dataset, target, run_id="other")
            return super()._upload(*given)

    mart.run(f"UPDATE {mart.sql} SET COST = 8 WHERE ID = 3")
    slow = Slow(store, mart.name, dataset.publication)  # type: ignore[arg-type]
    with pytest.raises(PublicationFailed, match="another run has published in the meantime"):
        publish(mart.connection, mart.database, dataset, slow, run_id="r3")
    now = target.current()
    assert now is not None and now.stamp is not None and now.stamp.run_id == "other"


def test_a_run_killed_after_the_swap_is_accounted_for_by_the_next(mart: Mart, embedded: Account) -> None:
    publication = {"from": f"marts/{mart.name}", "indexes": (), "columns": ("id", "name", "cost", "seen")}
    dataset = trees(**publication)
    with embedded.target(dataset) as target:

        def killed(*given: Any) -> None:
            raise KeyboardInterrupt

        with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(ledger, "record", killed)
            publish(mart.connection, mart.database, dataset, target, run_id="killed")
        assert publish(mart.connection, mart.database, dataset, target, run_id="next").outcome == "unchanged"
        assert publish(mart.connection, mart.database, dataset, target, run_id="third").outcome == "unchanged"
    assert embedded.published("SELECT id, name, cost::text FROM trees ORDER BY cartodb_id") == [
        (1, None, None),
        (2, 'Elm, "old"', "7.10"),
        (3, "", "0.05"),
    ]
    with mart.connection.cursor() as cursor:
        records = ledger.history(cursor, mart.database, dataset.id)
    assert [(each.run_id, each.rows_published) for each in records if each.source == f"marts/{mart.name}"] == [
        ("killed", 3)
    ]
