"""The models as Dagster assets, run on the Snowflake stand-in by the real dbt."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest
from snowflake.connector import SnowflakeConnection

import data_platform
from data_platform.automation.freshness import CHECK
from data_platform.components.dbt_models import DbtModels, DbtModelsAttributes
from data_platform.environment import settings
from data_platform.resources import WarehouseResource
from data_platform.resources.dbt import dbt_resource
from data_platform_tests.dbt.conftest import PROJECT
from data_platform_tests.dbt.raw_tables import DAYS, ZERO, air, insert, readings, sessions, station

pytestmark = pytest.mark.server

CITY, PARKING, WATER = (dg.AssetKey(["marts", name]) for name in ("city_daily", "fct_parking_daily", "dim_stations"))
REPORT = dg.AssetKey(["report"])


@dg.asset(key=REPORT, deps=[CITY])
def report() -> None:
    """What another team makes of the mart."""


@pytest.fixture(scope="module")
def definitions(warehouse: SnowflakeConnection, settings_of_server: dict[str, str]) -> Iterator[dg.Definitions]:
    """The component's definitions and an asset that follows from them, over raw tables with a day's rows."""
    random, day = Random(1), DAYS[1]
    fresh = int((datetime.now(UTC) - ZERO).total_seconds() // 60)
    insert(warehouse, "harbor_water.meter_readings", "w", readings(day, random), minutes=fresh)
    insert(warehouse, "meridian_parking.parking_sessions", "p", sessions(day, random), minutes=fresh)
    insert(warehouse, "clear_air.air_quality", "a", air(day, random), minutes=fresh - 40 * 24 * 60)
    insert(warehouse, "clear_air.stations", "s", [station(f"S0{number}", "Mill") for number in (1, 2, 3)])
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings_of_server.items():
            patch.setenv(name, value)
        settings.cache_clear()
        here = Path(data_platform.__file__).parent / "defs" / "transform"
        component = DbtModels(DbtModelsAttributes(project="../../../dbt_project"))
        context: Any = SimpleNamespace(path=here)
        yield dg.Definitions.merge(
            component.build_defs(context),
            dg.Definitions(
                assets=[report],
                resources={"dbt": dbt_resource(PROJECT), "warehouse": WarehouseResource.of(settings())},
            ),
        )
    settings.cache_clear()


@pytest.fixture(scope="module")
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as instance:
        yield instance


def _checks_of_models(definitions: dg.Definitions) -> set[dg.AssetCheckKey]:
    declared = definitions.resolve_asset_graph().asset_check_keys
    return {check for check in declared if check.asset_key not in _raw(definitions)}


def run(definitions: dg.Definitions, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    """A run of everything but the freshness checks."""
    selection = dg.AssetSelection.all() - dg.AssetSelection.checks_for_assets(*_raw(definitions))
    defs = dg.Definitions.merge(definitions, dg.Definitions(jobs=[dg.define_asset_job("everything", selection)]))
    return defs.resolve_job_def("everything").execute_in_process(instance=instance, raise_on_error=False)


def test_a_run_builds_all_models_and_tells_rows_columns_and_where_they_come_from(
    definitions: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    result = run(definitions, instance)
    assert result.success
    built = {event.asset_key: event.materialization.metadata for event in result.get_asset_materialization_events()}
    files = [*PROJECT.glob("models/**/*.sql"), *PROJECT.glob("snapshots/*.yml")]
    assert len(built) == len([*files, report])
    metadata = built[CITY]
    assert metadata["dagster/row_count"].value == 1
    assert [column.name for column in metadata["dagster/column_schema"].value.columns] == [
        "local_day",
        "litres",
        "parking_sessions",
        "parking_revenue",
        "pm25_mean",
    ]
    assert metadata["dagster/column_schema"].value.columns[1].description == "Litres of water used"
    lineage: Any = metadata["dagster/column_lineage"].value
    assert {(dep.asset_key, dep.column_name) for dep in lineage.deps_by_column["parking_revenue"]} == {
        (PARKING, "revenue")
    }
    checks = result.get_asset_check_evaluations()
    assert {check.asset_check_key for check in checks} == _checks_of_models(definitions)
    assert all(check.passed for check in checks)


def test_a_run_leaves_its_artifacts_below_the_state_folder_without_the_private_key(
    definitions: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    [folder, *_] = sorted((settings().state_dir / "dbt").glob("dbt_models-*"))
    assert {"manifest.json", "run_results.json", "dbt.log"} <= {path.name for path in folder.iterdir()}
    key = Path(settings().process_environment()["SNOWFLAKE_PRIVATE_KEY_PATH"]).read_text()
    for line in key.splitlines():
        assert line not in (folder / "dbt.log").read_text()


def test_a_failed_test_stops_the_models_and_assets_that_follow_and_no_others(
    definitions: dg.Definitions, instance: dg.DagsterInstance, warehouse: SnowflakeConnection
) -> None:
    twice = sessions(DAYS[1], Random(2), count=1)
    insert(warehouse, "meridian_parking.parking_sessions", "once", twice)
    insert(warehouse, "meridian_parking.parking_sessions", "again", twice)
    try:
        result = run(definitions, instance)
    finally:
        warehouse.cursor().execute(
            "DELETE FROM RAW_MERIDIAN_PARKING.PARKING_SESSIONS WHERE _EXTRACT_ID IN ('once', 'again')"
        )
    assert not result.success
    built = {event.asset_key for event in result.get_asset_materialization_events()}
    assert WATER in built
    assert not built & {PARKING, CITY, REPORT}
    [failed] = [check for check in result.get_asset_check_evaluations() if not check.passed]
    assert failed.severity == dg.AssetCheckSeverity.ERROR
    assert failed.asset_check_key == dg.AssetCheckKey(
        dg.AssetKey(["staging", "stg_meridian_parking__parking_sessions"]),
        "unique_stg_meridian_parking__parking_sessions_session_id",
    )


def test_raw_tables_are_checked_for_freshness_as_their_feeds_promise(
    definitions: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    raw = _raw(definitions)
    assert len(raw) == 3, "nothing is expected of the stations by the clock"
    job = dg.define_asset_job("freshness", dg.AssetSelection.checks_for_assets(*raw))
    defs = dg.Definitions.merge(definitions, dg.Definitions(jobs=[job]))
    result = defs.resolve_job_def("freshness").execute_in_process(instance=instance)
    found = {check.asset_key.path[-1]: check for check in result.get_asset_check_evaluations()}
    assert {name: check.passed for name, check in found.items()} == {
        "meter_readings": True,
        "parking_sessions": True,
        "air_quality": False,
    }
    assert found["air_quality"].severity == dg.AssetCheckSeverity.ERROR
    assert found["air_quality"].metadata["hours ago"].value == pytest.approx(960, abs=1)


def _raw(definitions: dg.Definitions) -> list[dg.AssetKey]:
    return [key.asset_key for check in definitions.asset_checks or () for key in check.check_keys if key.name == CHECK]
