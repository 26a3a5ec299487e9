"""The `defs.yaml` of a base and of an application as Dagster's assets, run against the services' doubles."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest
import yaml

from data_platform.automation.jobs import table_jobs
from data_platform.cli.doctor import web_apis as probe
from data_platform.components.airtable_tables import AirtableTables
from data_platform.components.knack_objects import KnackObjects
from data_platform.components.scaffolds import AirtableTablesScaffolder, KnackObjectsScaffolder
from data_platform.environment import Settings, settings
from data_platform.feeds.declared import declared_feeds, declared_sources
from data_platform.feeds.web_apis import WebDeclaration
from data_platform.lake.extracts import Lake
from data_platform.local_cloud.web.faults import Fault
from data_platform.transform.sources import sources_yaml
from data_platform.warehouse.connection import connect
from data_platform_tests.extract.web.tables import Town, airtable_town, knack_town
from data_platform_tests.local_cloud.web import apis
from data_platform_tests.warehouse.conftest import cloud, lake

__all__ = ["cloud", "lake"]

COMMON = """
  description: The community programmes.
  time_zone: America/New_York
  owners: ["team:programmes"]
  connection: community
"""
AIRTABLE = f"""
type: data_platform.components.AirtableTables
attributes:{COMMON}
  base: {apis.BASE}
  tables:
    - table: programmes
      from: {apis.TABLE}
      description: Every programme.
      contract:
        key: [programme_id]
        columns:
          - {{name: programme_id, type: string, nullable: false, source_name: id, description: The record}}
          - {{name: name, type: string, source_name: {apis.NAME}, description: Its name}}
          - {{name: active, type: boolean, source_name: {apis.ACTIVE}, description: Whether it runs}}
          - {{name: budget, type: "decimal(12,2)", source_name: {apis.BUDGET}, description: Dollars}}
          - {{name: tags, type: json, source_name: {apis.TAGS}, description: Words}}
"""
KNACK = f"""
type: data_platform.components.KnackObjects
attributes:{COMMON}
  tables:
    - table: grants
      from: object_1
      description: Every grant.
      load_mode: history
      contract:
        key: [grant_id]
        columns:
          - {{name: grant_id, type: string, nullable: false, source_name: id, description: The record}}
          - {{name: name, type: string, source_name: field_1, description: Its name}}
          - {{name: opened, type: timestamp, source_name: field_2, time_zone: America/New_York, description: When}}
          - {{name: site, type: json, source_name: field_3, description: Where}}
"""
VARIABLE = "DATA_PLATFORM_CONNECTION_COMMUNITY"
KINDS: dict[str, tuple[str, Any, Any]] = {
    "airtable": (AIRTABLE, AirtableTables, AirtableTablesScaffolder),
    "knack": (KNACK, KnackObjects, KnackObjectsScaffolder),
}


@pytest.fixture(params=sorted(KINDS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def file(tmp_path: Path, kind: str) -> Path:
    file = tmp_path / "defs" / "sources" / kind / f"city_{uuid.uuid4().hex[:8]}" / "defs.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(KINDS[kind][0])
    return file


@pytest.fixture
def town(kind: str) -> Iterator[Town]:
    with airtable_town(120) if kind == "airtable" else knack_town(120) as made:
        yield made


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    settings.cache_clear()
    yield monkeypatch
    settings.cache_clear()


def definitions(file: Path, kind: str) -> dg.Definitions:
    component = KINDS[kind][1]
    attributes = component.get_model_cls().model_validate(yaml.safe_load(file.read_text())["attributes"])
    return component.load(attributes, SimpleNamespace()).build_defs(SimpleNamespace(path=file.parent))


def materialize(
    file: Path, kind: str, lake: Lake, cloud: Settings, instance: dg.DagsterInstance
) -> dg.ExecuteInProcessResult:
    resources = {
        "lake": SimpleNamespace(lake=lambda: lake),
        "warehouse": SimpleNamespace(open=lambda **options: connect(cloud, **options)),
    }
    return dg.materialize(
        list(definitions(file, kind).assets or ()),
        resources={key: dg.ResourceDefinition.hardcoded_resource(value) for key, value in resources.items()},
        selection=dg.AssetSelection.key_prefixes("lake", "raw"),
        instance=instance,
        raise_on_error=False,
    )


def test_each_table_has_its_assets_behind_one_source_and_runs_in_the_pool_of_its_connection(
    file: Path, kind: str
) -> None:
    resources = dg.Definitions(resources={"lake": None, "warehouse": None})
    merged = dg.Definitions.merge(definitions(file, kind), resources)
    graph, name = merged.resolve_asset_graph(), file.parent.name
    table = "programmes" if kind == "airtable" else "grants"
    assert {key.to_user_string() for key in graph.get_all_asset_keys()} == {
        f"source/{name}",
        *(f"{stage}/{name}/{table}" for stage in ("lake", "raw")),
    }
    assert graph.get(dg.AssetKey(["source", name])).kinds == {kind}
    assert graph.get(dg.AssetKey(["raw", name, table])).pools == {"connection/community"}


def test_its_tables_are_read_by_the_job_of_web_apis(file: Path) -> None:
    assert list(table_jobs(declared_feeds(file.parents[3]))) == ["web_apis"]


def test_its_dbt_source_has_its_columns(file: Path) -> None:
    (source,) = declared_sources(file.parents[3], WebDeclaration)
    (made,) = yaml.safe_load(sources_yaml(source))["sources"]
    assert [len(table["columns"]) > 3 for table in made["tables"]] == [True]


def test_what_dg_scaffolds_is_a_right_declaration(file: Path, kind: str) -> None:
    file.write_text(KINDS[kind][2].template.replace("{name}", file.parent.name))
    (feed,) = declared_feeds(file.parents[3])
    assert (feed.name, feed.load_mode, feed.kind) == (f"{file.parent.name}/example", "replace", kind)


def test_a_table_is_loaded_and_the_key_is_nowhere_to_be_seen(
    file: Path, kind: str, town: Town, lake: Lake, cloud: Settings, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv(VARIABLE, town.url())
    with dg.DagsterInstance.ephemeral() as instance:
        result = materialize(file, kind, lake, cloud, instance)
        assert result.success
        rows = [event.materialization.metadata["rows"].value for event in result.get_asset_materialization_events()]
        assert rows == [120, 120]
        assert {(check.check_name, check.passed) for check in result.get_asset_check_evaluations()} >= {
            ("contract", True)
        }
        assert town.key not in repr(list(instance.all_logs(result.run_id)))


def test_a_run_that_fails_amid_pages_leaves_the_table_as_it_was_and_the_next_one_reads_all(
    file: Path, kind: str, town: Town, lake: Lake, cloud: Settings, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv(VARIABLE, town.url())
    table = f"raw_{file.parent.name}.{'programmes' if kind == 'airtable' else 'grants'}"

    def ids() -> list[str]:
        with connect(cloud) as connection, connection.cursor() as cursor:
            cursor.execute(f"SELECT * FROM {table} ORDER BY 1")
            return [str(row[0]) for row in cursor.fetchall()]

    with dg.DagsterInstance.ephemeral() as instance:
        assert materialize(file, kind, lake, cloud, instance).success
        before = ids()
        pages = 2 if kind == "airtable" else 1
        town.fail(Fault(403, after=pages))  # the fields are told, and of a base the first page is too
        town.clock.now += 60
        assert not materialize(file, kind, lake, cloud, instance).success
        assert ids() == before
        town.clock.now += 60
        assert materialize(file, kind, lake, cloud, instance).success
        assert ids() == before and len(before) == len(set(before)) == 120


def test_a_connection_that_is_not_set_or_is_a_databases_fails_with_the_variable_to_set(
    file: Path, kind: str, lake: Lake, cloud: Settings, environment: pytest.MonkeyPatch
) -> None:
    for url, told in (("", "is missing"), ("postgresql://u:planted@127.0.0.1/x", "is of another kind of system")):
        environment.setenv(VARIABLE, url)
        settings.cache_clear()
        with dg.DagsterInstance.ephemeral() as instance:
            result = materialize(file, kind, lake, cloud, instance)
            (failure,) = (event for event in result.all_node_events if event.is_step_failure)
            said = str(failure.step_failure_data.user_failure_data)
            assert f"{VARIABLE} {told}" in said and "planted" not in said


def test_the_doctor_asks_for_the_tables_and_shows_no_key(
    file: Path, town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "DEFS", file.parents[3])
    (found,) = probe.web_apis(Settings.from_environment({VARIABLE: town.url()}))
    fields = 4 if town.service.name == "airtable" else 3
    assert (found.state, f"shows 1 tables with {fields} fields" in found.found) == ("ok", True)
    (found,) = probe.web_apis(Settings.from_environment({VARIABLE: town.url("planted")}))
    wrong = "answered 401" if town.service.name == "airtable" else "answered"
    assert town.service.name == "knack" or (found.state, wrong in found.found) == ("failed", True)
    assert "planted" not in repr(found)
    (found,) = probe.web_apis(Settings.from_environment({}))
    assert (found.state, f"{VARIABLE} is missing" in found.found) == ("failed", True)
