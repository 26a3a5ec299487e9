"""What the DbtModels component defines beyond the names in `definitions.snapshot.json`."""

import inspect
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest
import yaml
from click.testing import CliRunner

import data_platform
from data_platform.cli import main
from data_platform.cli.doctor.machine import dbt_manifest
from data_platform.components import DbtModels
from data_platform.components.dbt_models import DbtModelsAttributes
from data_platform.components.dbt_translator import describe_test
from data_platform.components.invalid import messages_of_invalid
from data_platform.definitions import compose
from data_platform.environment import settings
from data_platform.runs.provenance import commits
from data_platform_tests.test_environment import PRODUCTION

PACKAGE = Path(data_platform.__file__).parent
HERE: Any = SimpleNamespace(path=PACKAGE / "defs" / "transform")
DECLARED = yaml.safe_load((HERE.path / "defs.yaml").read_text(encoding="utf-8"))


def built(attributes: dict[str, Any] = DECLARED["attributes"], context: Any = HERE) -> dg.Definitions:
    return DbtModels(DbtModelsAttributes.model_validate(attributes)).build_defs(context)


@pytest.fixture(scope="module")
def definitions() -> dg.Definitions:
    return built()


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Sets variables before the settings are read."""
    settings.cache_clear()
    yield monkeypatch
    settings.cache_clear()


def specs(definitions: dg.Definitions) -> dict[str, dg.AssetSpec]:
    assets: Any = definitions.assets
    return {spec.key.to_user_string(): spec for each in assets for spec in each.specs}


def test_the_example_in_its_docstring_loads() -> None:
    example = re.search(r"```yaml\n(.*?)```", inspect.getdoc(DbtModels) or "", re.DOTALL)
    assert example is not None
    declared = yaml.safe_load(example[1])
    assert declared["type"] == "data_platform.components.DbtModels"
    assert "marts/city_daily" in specs(built(declared["attributes"]))


def test_only_staging_reads_raw_tables(definitions: dg.Definitions) -> None:
    for key, spec in specs(definitions).items():
        from_raw = any(dep.asset_key.path[0] == "raw" for dep in spec.deps)
        assert from_raw == key.startswith("staging/"), "conditions.has_data counts on it"


def test_every_model_and_column_is_described_and_links_to_its_file(definitions: dg.Definitions) -> None:
    for key, spec in specs(definitions).items():
        folder, name = key.split("/")
        assert spec.description and "select" not in spec.description
        assert all(column.description for column in spec.metadata["dagster/column_schema"].columns), key
        [reference] = spec.metadata["dagster/code_references"].code_references
        assert Path(reference.file_path).exists()
        assert name in reference.label or folder == "snapshots"


def test_tests_of_severity_error_block_and_others_warn(definitions: dg.Definitions) -> None:
    assets: Any = definitions.assets
    checks = {spec.name: spec for each in assets for spec in each.check_specs}
    assert checks["city_daily_keeps_every_litre"].blocking
    assert "no litre is lost" in (checks["city_daily_keeps_every_litre"].description or "")
    assert not checks["pm25_is_not_negative"].blocking


def test_each_check_of_a_model_has_a_short_name_and_says_what_it_checks(definitions: dg.Definitions) -> None:
    assets: Any = definitions.assets
    checks = {spec.name: spec.description or "" for each in assets for spec in each.check_specs}
    assert all(len(name) <= 60 for name in checks), "dbt's own names of tests with arguments are longer"
    assert all(description.endswith(".") for description in checks.values())
    assert checks["permit_has_an_address"] == "Each address_id is in stg_city_records__addresses (address_id)."
    assert checks["permit_status_is_known"] == "status is one of applied, issued, finished, withdrawn."
    assert checks["address_latitude_is_possible"] == "latitude is at least -90 and at most 90."
    assert checks["one_row_per_meter_and_day"] == "No two rows have the same meter_id and local_day."
    assert checks["unique_city_daily_local_day"] == "No two rows have the same local_day."
    assert checks["not_null_city_daily_local_day"] == "local_day is never null."


def test_a_test_that_the_project_brings_is_described_by_its_name() -> None:
    props = {"test_metadata": {"name": "is_even", "kwargs": {}}, "column_name": "litres", "name": "is_even_x_litres"}
    assert describe_test(props) == "The dbt test is_even of litres finds no row."


def test_links_lead_to_the_repository_where_there_is_one(variables: pytest.MonkeyPatch) -> None:
    variables.setenv("DATA_PLATFORM_REPOSITORY_URL", "https://git.example.org/data-platform")
    spec = specs(built())["marts/city_daily"]
    base = "https://git.example.org/data-platform/blob/main/dbt_project/models/marts"
    [reference] = spec.metadata["dagster/code_references"].code_references
    assert reference.url == f"{base}/city_daily.sql"
    assert spec.metadata["docs"].value == f"{base}/_models.yml"


def test_a_folder_without_a_built_manifest_is_one_invalid_asset_in_production_that_says_what_to_do(
    variables: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "dbt_project.yml").write_text("name: data_platform\n")
    for name, value in PRODUCTION.items():
        variables.setenv(name, value)
    (message,) = messages_of_invalid(built({"project": "."}, SimpleNamespace(path=tmp_path)).assets or ())
    assert "data-platform dbt-manifest" in message


def test_a_model_that_reads_a_removed_source_leaves_every_feed_loaded_and_names_model_line_and_source(
    variables: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    project = tmp_path / "dbt_project"
    others = ("target", "logs", "tests", "snapshots", "marts", "intermediate", "clear_air", "meridian_parking")
    shutil.copytree(PACKAGE.parent / "dbt_project", project, ignore=shutil.ignore_patterns(*others))
    sources = project / "models" / "staging" / "city_records" / "_sources.yml"
    sources.write_text(sources.read_text().replace("name: permits", "name: building_permits"))
    variables.setenv("DATA_PLATFORM_DBT_PROJECT_DIR", str(project))
    loaded = compose(PACKAGE)
    (message,) = messages_of_invalid(loaded.resolve_all_asset_specs())
    model = sources.with_name("stg_city_records__permits.sql")
    assert "depends on a source named 'city_records.permits' which was not found" in message
    assert f"{model}:5: reads the missing source city_records.permits" in message
    keys = {key.to_user_string() for key in loaded.resolve_asset_graph().get_all_asset_keys()}
    assert "raw/city_records/permits" in keys
    assert loaded.resolve_job_def("daily")
    (finding,) = dbt_manifest(settings())
    assert finding.state == "failed" and "stg_city_records__permits.sql:5" in finding.found
    checked = CliRunner().invoke(main, ["check"])
    assert checked.exit_code == 3 and f"{model}:5" in checked.output


def test_a_checkout_of_the_projects_own_repository_replaces_the_codes(
    variables: pytest.MonkeyPatch, tmp_path: Path, definitions: dg.Definitions
) -> None:
    checkout = tmp_path / "checkout"
    shutil.copytree(PACKAGE.parent / "dbt_project", checkout)
    manifest = json.loads((checkout / "target" / "manifest.json").read_bytes())
    manifest["nodes"]["model.data_platform.dim_stations"]["description"] = "The checkout's stations"
    (checkout / "target" / "manifest.json").write_text(json.dumps(manifest))
    variables.setenv("DATA_PLATFORM_DBT_PROJECT_DIR", str(checkout))
    variables.setenv("DATA_PLATFORM_DBT_COMMIT", "b" * 40)
    assert "The checkout's stations" in (specs(built())["marts/dim_stations"].description or "")
    assert commits() == {"dbt_commit": "b" * 40}
