"""A database's `defs.yaml` as Dagster's assets, run against a real database."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest
import yaml

from data_platform.components.scaffolds import SqlTablesScaffolder
from data_platform.components.sql_tables import SqlTables
from data_platform.environment import Settings, settings
from data_platform.feeds.databases import DatabaseDeclaration
from data_platform.feeds.declared import declared_feeds, declared_sources
from data_platform.lake.extracts import Lake
from data_platform.transform.sources import sources_yaml
from data_platform.warehouse.connection import connect
from data_platform_tests.dagster_internals import reexecuted
from data_platform_tests.servers.postgres import Database, database, postgres_server
from data_platform_tests.warehouse.conftest import cloud, lake

__all__ = ["cloud", "database", "lake", "postgres_server"]

YAML = """
type: data_platform.components.SqlTables
attributes:
  description: The city's register.
  time_zone: America/New_York
  owners: ["team:records"]
  connection: records
  tables:
    - table: addresses
      from: register.addresses
      description: Every address.
      contract:
        key: [address_id]
        columns:
          - {name: address_id, type: int64, nullable: false, description: The address}
          - {name: street, type: string, description: Its street}
    - table: permits
      description: Permits.
      load_mode: merge
      watermark: {column: updated_at, overlap_minutes: 15}
      contract:
        key: [permit_id]
        columns:
          - {name: permit_id, type: int64, nullable: false, description: The permit}
          - {name: fee, type: "decimal(8,2)", description: What it cost}
          - {name: updated_at, type: timestamp, nullable: false, description: Last change}
"""
VARIABLE = "DATA_PLATFORM_CONNECTION_RECORDS"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "defs" / "sources" / "databases" / f"city_{uuid.uuid4().hex[:8]}" / "defs.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(YAML)
    return file


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    settings.cache_clear()
    yield monkeypatch
    settings.cache_clear()


def definitions(file: Path) -> dg.Definitions:
    component = SqlTables.load(
        DatabaseDeclaration.model_validate(yaml.safe_load(file.read_text())["attributes"]),
        SimpleNamespace(),  # type: ignore[arg-type]
    )
    return component.build_defs(SimpleNamespace(path=file.parent))  # type: ignore[arg-type]


def materialize(
    file: Path,
    lake: Lake,
    cloud: Settings,
    instance: dg.DagsterInstance,
    selection: dg.AssetSelection | None = None,
) -> dg.ExecuteInProcessResult:
    resources = {
        "lake": SimpleNamespace(lake=lambda: lake),
        "warehouse": SimpleNamespace(open=lambda **options: connect(cloud, **options)),
    }
    return dg.materialize(
        definitions(file).assets or (),
        resources={key: dg.ResourceDefinition.hardcoded_resource(value) for key, value in resources.items()},
        selection=selection or dg.AssetSelection.key_prefixes("lake", "raw"),
        instance=instance,
        raise_on_error=False,
    )


def test_each_table_has_its_assets_behind_one_source(file: Path) -> None:
    resources = dg.Definitions(resources={"lake": None, "warehouse": None})
    graph = dg.Definitions.merge(definitions(file), resources).resolve_asset_graph()
    name = file.parent.name
    assert {key.to_user_string() for key in graph.get_all_asset_keys()} == {
        f"source/{name}",
        *(f"{stage}/{name}/{table}" for stage in ("lake", "raw") for table in ("addresses", "permits")),
    }
    permits = graph.get(dg.AssetKey(["raw", name, "permits"]))
    assert (tuple(permits.owners), permits.kinds) == (("team:records",), {"snowflake", "table"})
    assert graph.get(dg.AssetKey(["lake", name, "permits"])).parent_keys == {dg.AssetKey(["source", name])}
    assert graph.get(dg.AssetKey(["source", name])).kinds == {"sql"}


def test_its_dbt_source_has_its_columns(file: Path) -> None:
    (source,) = declared_sources(file.parents[3], DatabaseDeclaration)
    (made,) = yaml.safe_load(sources_yaml(source))["sources"]
    assert [table["name"] for table in made["tables"]] == ["addresses", "permits"]


def test_what_dg_scaffolds_is_a_right_declaration(file: Path) -> None:
    file.write_text(SqlTablesScaffolder.template.replace("{name}", file.parent.name))
    (feed,) = declared_feeds(file.parents[3])
    assert (feed.name, feed.load_mode) == (f"{file.parent.name}/example", "replace")


def test_both_tables_are_loaded_and_the_url_is_nowhere_to_be_seen(
    file: Path, lake: Lake, cloud: Settings, database: Database, environment: pytest.MonkeyPatch
) -> None:
    database.run(
        "CREATE SCHEMA register",
        "CREATE TABLE register.addresses (address_id bigint PRIMARY KEY, street text)",
        "INSERT INTO register.addresses VALUES (1, 'Quay 1'), (2, NULL)",
        "CREATE TABLE permits (permit_id bigint, fee numeric, updated_at timestamptz)",
        "INSERT INTO permits VALUES (1, 12.5, '2026-03-07'), (2, 'NaN', '2026-03-08')",
    )
    environment.setenv(VARIABLE, database.url)
    with dg.DagsterInstance.ephemeral() as instance:
        result = materialize(file, lake, cloud, instance)
        assert result.success
        told: dict[str, dict[str, Any]] = {
            event.asset_key.to_user_string(): {k: v.value for k, v in event.materialization.metadata.items()}
            for event in result.get_asset_materialization_events()
            if event.asset_key
        }
        name = file.parent.name
        assert {key: (shown["rows"], shown["rejects"]) for key, shown in told.items()} == {
            f"lake/{name}/addresses": (2, 0),
            f"raw/{name}/addresses": (2, 0),
            f"lake/{name}/permits": (1, 1),
            f"raw/{name}/permits": (1, 1),
        }
        assert told[f"raw/{name}/permits"]["position"] == {
            "column": "updated_at",
            "watermark": "2026-03-08 00:00:00+00",
        }
        assert {(check.check_name, check.passed) for check in result.get_asset_check_evaluations()} == {
            ("contract", True),
            ("catalog", True),
        }
        password = database.url.split(":")[2].split("@")[0]
        assert password not in repr(list(instance.all_logs(result.run_id)))
        again = materialize(file, lake, cloud, instance)
        read = [event.asset_key for event in again.get_asset_materialization_events() if event.asset_key]
        assert [key.path[2] for key in read if key.path[0] == "lake"] == ["addresses"]


def test_a_table_that_fails_leaves_the_others_alone_and_a_retry_from_failure_reads_it_alone(
    file: Path, lake: Lake, cloud: Settings, database: Database, environment: pytest.MonkeyPatch
) -> None:
    name = file.parent.name
    failing, other = (
        {dg.AssetKey([stage, name, table]) for stage in ("lake", "raw")} for table in ("addresses", "permits")
    )
    database.run(
        "CREATE TABLE permits (permit_id bigint, fee numeric, updated_at timestamptz)",
        "INSERT INTO permits VALUES (1, 12.5, '2026-03-07')",
    )
    environment.setenv(VARIABLE, database.url)
    with dg.DagsterInstance.ephemeral() as instance:
        result = materialize(file, lake, cloud, instance)
        assert not result.success
        assert {event.asset_key for event in result.get_asset_materialization_events()} == other
        assert reexecuted(instance, result.run_id) == failing
        database.run("CREATE SCHEMA register", "CREATE TABLE register.addresses (address_id bigint, street text)")
        again = materialize(file, lake, cloud, instance, dg.AssetSelection.assets(*failing))
        assert again.success
        assert {event.asset_key for event in again.get_asset_materialization_events()} == failing


def test_a_check_names_what_has_changed_in_the_catalog_whether_the_table_is_read_or_not(
    file: Path, lake: Lake, cloud: Settings, database: Database, environment: pytest.MonkeyPatch
) -> None:
    file.write_text(file.read_text().replace("key: [address_id]", "key: [address_id]\n        drift: evolve"))
    database.run(
        "CREATE SCHEMA register",
        "CREATE TABLE register.addresses (address_id text PRIMARY KEY, street text, zone int)",
        "CREATE TABLE permits (id int, permit_id bigint, fee numeric(12,2), updated_at timestamptz, PRIMARY KEY (id))",
        "INSERT INTO permits VALUES (1, 1, 12.5, '2026-03-07')",
    )
    environment.setenv(VARIABLE, database.url)
    with dg.DagsterInstance.ephemeral() as instance:
        result = materialize(file, lake, cloud, instance)
        assert not result.success
        found = {
            check.asset_key.path[2]: check.description
            for check in result.get_asset_check_evaluations()
            if check.check_name == "catalog"
        }
    discover = f"`data-platform discover {file.parent.name}` shows the lines to change"
    assert found == {
        "addresses": "the column address_id is text; the contract says int64, expected string; the column zone"
        f" (integer) is new. {discover}",
        "permits": "the column fee is numeric(12,2); the contract says decimal(8,2), expected decimal(12,2); the"
        f" column id (integer) is new; the key is id; the contract says permit_id. {discover}",
    }


def test_a_connection_that_is_not_set_fails_each_table_with_the_variable_to_set(
    file: Path, lake: Lake, cloud: Settings, environment: pytest.MonkeyPatch
) -> None:
    environment.delenv(VARIABLE, raising=False)
    with dg.DagsterInstance.ephemeral() as instance:
        result = materialize(file, lake, cloud, instance)
        assert not result.success
        (failure,) = (event for event in result.all_node_events if event.is_step_failure)
        assert failure.step_failure_data.user_failure_data
        said = str(failure.step_failure_data.user_failure_data.description)
        for table in ("addresses", "permits"):
            assert f"{VARIABLE} is missing, and {file.parent.name}/{table} needs it" in said
