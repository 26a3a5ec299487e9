"""dbt's sources say what the feeds' contracts say."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

import data_platform
from data_platform.cli.dbt import dbt_sources
from data_platform.feeds.declared import declared_sources
from data_platform.feeds.spec import SourceDeclaration
from data_platform.transform.sources import outdated, readers_of_undeclared, sources_file, sources_yaml, write_sources

PACKAGE = Path(data_platform.__file__).parent
DEFS = PACKAGE / "defs"
PROJECT = PACKAGE.parent / "dbt_project"


@pytest.fixture
def defs(tmp_path: Path) -> Path:
    """A copy of the declared sources, to change."""
    return Path(shutil.copytree(DEFS / "sources", tmp_path / "defs" / "sources")).parent


def test_the_projects_sources_are_what_the_contracts_say() -> None:
    assert outdated(PROJECT, declared_sources(DEFS, SourceDeclaration)) == {}


def test_a_table_is_tied_to_its_raw_asset_and_tells_its_columns() -> None:
    [water] = [source for source in declared_sources(DEFS, SourceDeclaration) if source.name == "harbor_water"]
    [source] = yaml.safe_load(sources_yaml(water))["sources"]
    [table] = source["tables"]
    assert source["schema"] == "RAW_HARBOR_WATER"
    assert table["config"]["meta"]["dagster"]["asset_key"] == ["raw", "harbor_water", "meter_readings"]
    columns = {column["name"]: column for column in table["columns"]}
    assert columns["litres"]["data_type"] == "number(12,3)"
    assert all(column["description"] for column in columns.values())
    assert {"_extract_id", "_extracted_at", "_delivery_id", "_record_number"} <= set(columns)


@pytest.mark.parametrize(
    ("source", "table", "minutes"),
    [("harbor_water", "meter_readings", (150, 210)), ("clear_air", "air_quality", (1680, 3120))],
)
def test_a_table_is_late_when_a_file_is_missing_and_stale_when_two_are(
    source: str, table: str, minutes: tuple[int, int]
) -> None:
    assert _freshness(source, table) == {
        "warn_after": {"count": minutes[0], "period": "minute"},
        "error_after": {"count": minutes[1], "period": "minute"},
    }


def test_a_feed_that_nothing_is_expected_of_is_never_late() -> None:
    assert _freshness("clear_air", "stations") is None


def test_a_history_tells_its_versions_and_is_as_fresh_as_its_last_snapshot(defs: Path) -> None:
    feed = defs / "sources" / "partners" / "clear_air" / "air_quality" / "defs.yaml"
    feed.write_text(re.sub(r"load_mode: \w+", "load_mode: history", feed.read_text(encoding="utf-8")), encoding="utf-8")
    [source] = [each for each in declared_sources(defs, SourceDeclaration) if each.name == "clear_air"]
    [table] = [
        each for each in yaml.safe_load(sources_yaml(source))["sources"][0]["tables"] if "quality" in each["name"]
    ]
    assert {"_valid_from", "_valid_to", "_first_seen", "_last_seen", "_deleted"} <= {
        column["name"] for column in table["columns"]
    }
    assert table["config"]["loaded_at_query"] == (
        'select max(LOADED_AT) from "{{ target.database }}"."PLATFORM"."LOADS"'
        " where SOURCE = 'clear_air' and TABLE_NAME = 'air_quality'"
    )
    assert "loaded_at_field" not in table["config"]


def test_a_changed_contract_and_a_source_that_is_gone_are_found_and_written(defs: Path, tmp_path: Path) -> None:
    project = Path(shutil.copytree(PROJECT / "models", tmp_path / "project" / "models")).parent
    partners = defs / "sources" / "partners"
    feed = partners / "clear_air" / "stations" / "defs.yaml"
    feed.write_text(feed.read_text(encoding="utf-8").replace("What people call it", "Its name"), encoding="utf-8")
    shutil.rmtree(partners / "harbor_water")
    changed = set(outdated(project, declared_sources(defs, SourceDeclaration)))
    assert changed == {sources_file(project, "clear_air"), sources_file(project, "harbor_water")}
    assert set(write_sources(project, declared_sources(defs, SourceDeclaration))) == changed
    assert "Its name" in sources_file(project, "clear_air").read_text(encoding="utf-8")
    assert not sources_file(project, "harbor_water").exists()
    assert write_sources(project, declared_sources(defs, SourceDeclaration)) == []


def test_check_names_the_file_that_is_not_as_the_contracts_say_and_what_to_do(tmp_path: Path) -> None:
    project = Path(shutil.copytree(PROJECT / "models", tmp_path / "project" / "models")).parent
    file = sources_file(project, "clear_air")
    file.write_text("sources: []\n", encoding="utf-8")
    result = CliRunner().invoke(dbt_sources, ["--check", "--project-dir", str(project)])
    assert result.exit_code == 1
    assert str(file) in result.output
    assert "data-platform dbt-sources" in result.output
    assert file.read_text(encoding="utf-8") == "sources: []\n", "nothing is written"


def _freshness(source: str, table: str) -> object:
    [declared] = [each for each in declared_sources(DEFS, SourceDeclaration) if each.name == source]
    [written] = yaml.safe_load(sources_yaml(declared))["sources"]
    [found] = [each for each in written["tables"] if each["name"] == table]
    return found["config"]["freshness"]


def test_a_model_that_reads_a_renamed_feed_is_named_with_its_line_before_dbts_sources_are_written(defs: Path) -> None:
    feed = defs / "sources" / "partners" / "harbor_water" / "meter_readings"
    feed.rename(feed.with_name("readings"))
    (line,) = readers_of_undeclared(PROJECT, declared_sources(defs, SourceDeclaration))
    model = PROJECT / "models" / "staging" / "harbor_water" / "stg_harbor_water__meter_readings.sql"
    assert line.startswith(
        f"{model}:5: model {model.stem} reads the source harbor_water.meter_readings, which no feed declares"
    )


def test_every_source_that_the_projects_models_read_is_declared() -> None:
    assert list(readers_of_undeclared(PROJECT, declared_sources(DEFS, SourceDeclaration))) == []
