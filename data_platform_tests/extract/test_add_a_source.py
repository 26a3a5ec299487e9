"""docs/add-a-source.md: a source of a few lines gets extracts, loads, ledger, checks, metadata and a dbt source."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import dagster as dg
import pytest
import yaml
from snowflake.connector import SnowflakeConnection

from data_platform.environment import Settings
from data_platform.feeds.declared import declared_feeds, declared_sources
from data_platform.feeds.spec import SourceDeclaration
from data_platform.lake.extracts import Lake
from data_platform.transform.sources import sources_yaml
from data_platform.warehouse.connection import connect
from data_platform_tests.extract.rows import page

YAML = """
type: add_a_source.RowsSource
attributes:
  description: Numbers that somebody keeps in a list.
  time_zone: America/New_York
  owners: ["team:numbers"]
  load_mode: merge
  contract:
    key: [id]
    columns:
      - {name: id, type: string, nullable: false, description: Its name}
      - {name: value, type: int32, description: The number}
  rows:
    - {id: a, value: 1}
    - {id: b, value: two}
    - {id: c, value: 3}
"""


@pytest.fixture(scope="module")
def source() -> ModuleType:
    return page()


@pytest.fixture
def name() -> str:
    return f"list_{uuid.uuid4().hex[:8]}"


@pytest.fixture
def defs(tmp_path: Path, name: str, source: ModuleType) -> Path:
    folder = tmp_path / "defs" / "sources" / "lists" / name
    folder.mkdir(parents=True)
    (folder / "defs.yaml").write_text(YAML)
    return tmp_path / "defs"


def test_its_dbt_source_comes_from_its_declaration(defs: Path, name: str) -> None:
    (declared,) = declared_sources(defs, SourceDeclaration)
    (feed,) = declared.feeds()
    assert (feed.name, feed.kind, feed.owners) == (f"{name}/list", "rows", ("team:numbers",))
    (made,) = yaml.safe_load(sources_yaml(declared))["sources"]
    assert made["tables"][0]["config"]["meta"]["dagster"]["asset_key"] == ["raw", name, "list"]
    assert [column["name"] for column in made["tables"][0]["columns"]][:2] == ["id", "value"]


def materialize(
    defs: Path,
    source: ModuleType,
    lake: Lake,
    cloud: Settings,
    *keys: str,
    model: dg.AssetsDefinition | None = None,
) -> dg.ExecuteInProcessResult:
    (feed,) = declared_feeds(defs)
    models = [model] if model else []
    assets = [*source.feed_definitions("d", "o", [feed], source.ROWS).assets, *models]
    resources = {
        "lake": SimpleNamespace(lake=lambda: lake),
        "warehouse": SimpleNamespace(open=lambda **options: connect(cloud, **options)),
    }
    return dg.materialize(
        assets,
        selection=[*(dg.AssetKey([key, feed.source, feed.table]) for key in keys), *(each.key for each in models)],
        resources={key: dg.ResourceDefinition.hardcoded_resource(value) for key, value in resources.items()},
    )


def told(result: dg.ExecuteInProcessResult) -> dict[str, dict[str, Any]]:
    return {
        event.asset_key.to_user_string().split("/")[0]: {
            name: value.value for name, value in event.materialization.metadata.items()
        }
        for event in result.get_asset_materialization_events()
        if event.asset_key
    }


@contextmanager
def rows_of(connection: SnowflakeConnection, name: str) -> Iterator[list[tuple[Any, ...]]]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT ID, VALUE FROM RAW_{name}.LIST ORDER BY ID")
        yield list(cursor.fetchall())


def test_it_is_extracted_loaded_accounted_for_and_shown(
    defs: Path, source: ModuleType, name: str, lake: Lake, cloud: Settings, connection: SnowflakeConnection
) -> None:
    made = materialize(defs, source, lake, cloud, "lake", "raw")
    shown = told(made)
    assert (shown["lake"]["rows"], shown["lake"]["rejects"], shown["lake"]["position"]) == (2, 1, {"row": 3})
    assert (shown["raw"]["rows"], shown["raw"]["rejects"], shown["raw"]["dagster/row_count"]) == (2, 1, 2)
    (check,) = made.get_asset_check_evaluations()
    assert (check.check_name, check.passed) == ("contract", True)
    with rows_of(connection, name) as rows:
        assert rows == [("a", 1), ("c", 3)]
    with connection.cursor() as cursor:
        cursor.execute("SELECT RECORD_NUMBER, RAW_TEXT FROM PLATFORM.REJECTS WHERE SOURCE = %s", [name])
        assert list(cursor.fetchall()) == [(2, "{'id': 'b', 'value': 'two'}")]
    again = told(materialize(defs, source, lake, cloud, "lake", "raw"))
    assert set(again) == {"raw"}, "it was read, and is up to date"
    assert (again["raw"]["rows"], again["raw"]["dagster/row_count"]) == (0, 2)


def test_a_model_that_follows_in_the_run_is_made_even_if_its_source_has_nothing_new(
    defs: Path, source: ModuleType, lake: Lake, cloud: Settings
) -> None:
    (feed,) = declared_feeds(defs)

    @dg.asset(deps=[["raw", feed.source, feed.table]])
    def model() -> None: ...

    for _ in range(2):
        made = materialize(defs, source, lake, cloud, "lake", "raw", model=model)
        assert model.key in {event.asset_key for event in made.get_asset_materialization_events()}


def test_its_extracts_alone_are_committed_and_its_table_alone_loads_them(
    defs: Path, source: ModuleType, name: str, lake: Lake, cloud: Settings, connection: SnowflakeConnection
) -> None:
    assert set(told(materialize(defs, source, lake, cloud, "lake"))) == {"lake"}
    assert told(materialize(defs, source, lake, cloud, "lake")) == {}
    assert told(materialize(defs, source, lake, cloud, "raw"))["raw"]["rows"] == 2
    assert told(materialize(defs, source, lake, cloud, "raw")) == {}
    with rows_of(connection, name) as rows:
        assert rows == [("a", 1), ("c", 3)]
