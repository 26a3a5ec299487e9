"""What the DbtModels component defines: keys, owners, checks and links, from the project as it is."""

import inspect
import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest
import yaml

import data_platform
from data_platform.automation.freshness import CHECK
from data_platform.components import DbtModels
from data_platform.components.dbt_models import DbtModelsAttributes
from data_platform.environment import settings
from data_platform.runs.provenance import commits
from data_platform.transform.manifest import ManifestUnusable

PACKAGE = Path(data_platform.__file__).parent
HERE: Any = SimpleNamespace(path=PACKAGE / "defs" / "transform")


@pytest.fixture(scope="module")
def definitions() -> dg.Definitions:
    declared = yaml.safe_load((HERE.path / "defs.yaml").read_text(encoding="utf-8"))
    return DbtModels(DbtModelsAttributes(**declared["attributes"])).build_defs(HERE)


def specs(definitions: dg.Definitions) -> dict[str, dg.AssetSpec]:
    assets: Any = definitions.assets
    return {spec.key.to_user_string(): spec for each in assets for spec in each.specs}


def test_the_example_in_its_docstring_loads() -> None:
    example = re.search(r"```yaml\n(.*?)```", inspect.getdoc(DbtModels) or "", re.DOTALL)
    assert example is not None
    declared = yaml.safe_load(example[1])
    assert declared["type"] == "data_platform.components.DbtModels"
    component = DbtModels(DbtModelsAttributes.model_validate(declared["attributes"]))
    assert len(specs(component.build_defs(HERE))) == 11


def test_every_model_is_an_asset_by_its_folder_and_reads_what_it_should(definitions: dg.Definitions) -> None:
    reads = {
        key: sorted(dep.asset_key.to_user_string() for dep in spec.deps) for key, spec in specs(definitions).items()
    }
    assert reads == {
        "staging/stg_harbor_water__meter_readings": ["raw/harbor_water/meter_readings"],
        "staging/stg_meridian_parking__parking_sessions": ["raw/meridian_parking/parking_sessions"],
        "staging/stg_clear_air__air_quality": ["raw/clear_air/air_quality"],
        "staging/stg_clear_air__stations": ["raw/clear_air/stations"],
        "intermediate/int_meter_readings": ["staging/stg_harbor_water__meter_readings"],
        "snapshots/stations_history": ["staging/stg_clear_air__stations"],
        "marts/fct_meter_readings_daily": ["intermediate/int_meter_readings"],
        "marts/fct_parking_daily": ["staging/stg_meridian_parking__parking_sessions"],
        "marts/fct_air_quality_daily": ["staging/stg_clear_air__air_quality"],
        "marts/dim_stations": ["snapshots/stations_history"],
        "marts/city_daily": [
            "marts/fct_meter_readings_daily",
            "marts/fct_parking_daily",
            "staging/stg_clear_air__air_quality",
        ],
    }


def test_only_staging_reads_raw_tables(definitions: dg.Definitions) -> None:
    for key, spec in specs(definitions).items():
        from_raw = any(dep.asset_key.path[0] == "raw" for dep in spec.deps)
        assert from_raw == key.startswith("staging/"), "conditions.has_data counts on it"


def test_every_model_says_whose_it_is_what_it_holds_and_where_it_is_written(definitions: dg.Definitions) -> None:
    for key, spec in specs(definitions).items():
        folder, name = key.split("/")
        assert spec.group_name == folder
        assert spec.owners, key
        assert spec.kinds == {"dbt", "snowflake"}
        assert spec.description and "select" not in spec.description
        assert spec.automation_condition is not None
        columns = spec.metadata["dagster/column_schema"].columns
        assert all(column.description for column in columns), key
        [reference] = spec.metadata["dagster/code_references"].code_references
        assert Path(reference.file_path).exists()
        assert name in reference.label or folder == "snapshots"


def test_tests_of_severity_error_block_and_others_warn(definitions: dg.Definitions) -> None:
    assets: Any = definitions.assets
    checks = {spec.name: spec for each in assets for spec in each.check_specs}
    assert len(checks) == 37
    assert checks["city_daily_keeps_every_litre"].blocking
    assert checks["city_daily_keeps_every_litre"].asset_key == dg.AssetKey(["marts", "city_daily"])
    assert "no litre is lost" in (checks["city_daily_keeps_every_litre"].description or "")
    assert not checks["within_range_stg_clear_air__air_quality_0__pm25"].blocking


def test_raw_tables_that_are_expected_by_the_clock_have_a_check_of_freshness(definitions: dg.Definitions) -> None:
    checks: Any = definitions.asset_checks
    keys = {key for each in checks for key in each.check_keys}
    assert keys == {
        dg.AssetCheckKey(dg.AssetKey(["raw", *path]), CHECK)
        for path in (
            ("harbor_water", "meter_readings"),
            ("meridian_parking", "parking_sessions"),
            ("clear_air", "air_quality"),
        )
    }


def test_links_lead_to_the_repository_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_PLATFORM_REPOSITORY_URL", "https://git.example.org/data-platform")
    settings.cache_clear()
    try:
        spec = specs(DbtModels(DbtModelsAttributes(project="../../../dbt_project")).build_defs(HERE))[
            "marts/city_daily"
        ]
    finally:
        settings.cache_clear()
    base = "https://git.example.org/data-platform/blob/main/dbt_project/models/marts"
    [reference] = spec.metadata["dagster/code_references"].code_references
    assert reference.url == f"{base}/city_daily.sql"
    assert spec.metadata["docs"].value == f"{base}/_models.yml"


def test_a_folder_without_a_built_manifest_fails_the_load_in_production_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "dbt_project.yml").write_text("name: data_platform\n")
    monkeypatch.setenv("DATA_PLATFORM_ENVIRONMENT", "prod")
    for name, value in {
        "DATA_PLATFORM_LAKE_BUCKET": "lake",
        "DATA_PLATFORM_LANDING_BUCKET": "landing",
        "SNOWFLAKE_ACCOUNT": "org-account",
        "SNOWFLAKE_USER": "DATA_PLATFORM",
        "SNOWFLAKE_ROLE": "LOADER",
        "SNOWFLAKE_WAREHOUSE": "WAREHOUSE",
        "SNOWFLAKE_DATABASE": "PRODUCTION",
        "SNOWFLAKE_PRIVATE_KEY_PATH": "/run/key.p8",
    }.items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    try:
        with pytest.raises(ManifestUnusable, match="data-platform dbt-manifest"):
            DbtModels(DbtModelsAttributes(project=".")).build_defs(SimpleNamespace(path=tmp_path))  # type: ignore[arg-type]
    finally:
        settings.cache_clear()


def test_a_project_of_its_own_repository_takes_the_place_of_the_codes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "checkout"
    shutil.copytree(PACKAGE.parent / "dbt_project", elsewhere, ignore=shutil.ignore_patterns("target", "logs"))
    for name in ("fct_parking_daily.sql", "city_daily.sql"):
        (elsewhere / "models" / "marts" / name).unlink()
    for properties in elsewhere.rglob("models/marts/*.yml"):
        properties.unlink()
    monkeypatch.setenv("DATA_PLATFORM_DBT_PROJECT_DIR", str(elsewhere))
    monkeypatch.setenv("DATA_PLATFORM_DBT_COMMIT", "b" * 40)
    settings.cache_clear()
    try:
        declared = yaml.safe_load((HERE.path / "defs.yaml").read_text(encoding="utf-8"))
        found = specs(DbtModels(DbtModelsAttributes(**declared["attributes"])).build_defs(HERE))
        assert "marts/dim_stations" in found
        assert "marts/fct_parking_daily" not in found
        assert commits() == {"dbt_commit": "b" * 40}
    finally:
        settings.cache_clear()
