"""Which sensors and schedules exist where: the registry holds all of them, whoever brings them, and fails closed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from data_platform.automation.publications import publication_definitions
from data_platform.automation.registry import (
    ENVIRONMENTS,
    OWN,
    RegistryError,
    keep_registered,
    published_here,
    read_registry,
)
from data_platform.definitions import compose
from data_platform.publish.spec import Dataset
from data_platform_tests.publish.conftest import trees


@dg.job
def work() -> None: ...


def definitions(*names: str) -> dg.Definitions:
    """Definitions with a sensor of each name but `daily`, which is a schedule."""
    return dg.Definitions(
        jobs=[work],
        sensors=[dg.SensorDefinition(name, job=work, evaluation_fn=lambda: None) for name in names if name != "daily"],
        schedules=[dg.ScheduleDefinition("daily", job=work, cron_schedule="@daily")] if "daily" in names else [],
    )


def names(kept: dg.Definitions) -> set[str]:
    return {each.name for each in (*(kept.sensors or ()), *(kept.schedules or ()))}


def listed(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "automation.yaml").write_text(text)
    return folder


def test_a_sensor_that_nobody_lists_stops_the_location_and_says_what_to_add() -> None:
    with pytest.raises(RegistryError, match=r"surprise") as caught:
        keep_registered(definitions(*OWN, "surprise"), OWN, "prod")
    assert "surprise: [local]" in str(caught.value)
    assert "automation.yaml" in str(caught.value)
    assert "production included" in str(caught.value)


def test_an_entry_without_a_sensor_or_schedule_stops_the_location() -> None:
    there = definitions(*(name for name in OWN if name != "landing"))
    with pytest.raises(RegistryError, match="landing"):
        keep_registered(there, OWN, "dev")


def test_an_entry_whose_definition_was_left_out_as_invalid_stops_nothing() -> None:
    there = definitions(*(name for name in OWN if name != "landing"))
    assert "landing" not in names(keep_registered(there, OWN, "prod", complete=False))


def test_a_development_account_builds_nothing_by_the_clock() -> None:
    assert names(keep_registered(definitions(*OWN), OWN, "dev")) == OWN.keys() - {
        "daily",
        "databases",
        "geocoding",
        "web_apis",
    }
    assert names(keep_registered(definitions(*OWN), OWN, "prod")) == OWN.keys()


def test_a_team_lists_its_own_beside_what_brings_them(tmp_path: Path) -> None:
    listed(tmp_path / "sources" / "crm", "crm_sync: [prod]\n")
    listed(tmp_path / "ml", "retrain: [dev, prod]\n")
    assert read_registry(tmp_path) == {
        **OWN,
        "crm_sync": frozenset({"prod"}),
        "retrain": frozenset({"dev", "prod"}),
    }


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("crm_sync: prod", "expected entries like"),
        ("crm_sync: [production]", "environments of: local, dev, prod"),
        ("crm_sync: []", "expected entries like"),
        ("- crm_sync", "expected entries like"),
        ("a: [", "not YAML"),
        ("landing: [prod]", "'landing' is listed a second time"),
    ],
)
def test_a_wrong_entry_names_its_file_and_what_was_expected(tmp_path: Path, text: str, says: str) -> None:
    listed(tmp_path, text)
    with pytest.raises(RegistryError) as caught:
        read_registry(tmp_path)
    assert str(tmp_path / "automation.yaml") in str(caught.value)
    assert says in str(caught.value)


def test_the_rest_of_the_definitions_is_kept() -> None:
    asset = dg.AssetSpec("table")
    given = dg.Definitions.merge(definitions(*OWN), dg.Definitions(assets=[asset], resources={"answer": 42}))
    kept = keep_registered(given, OWN, "local")
    assert list(kept.assets or ()) == [asset]
    assert kept.resources == {"answer": 42}
    assert [job.name for job in kept.jobs or ()] == ["work"]


def test_every_environment_of_the_settings_can_be_listed() -> None:
    assert set(ENVIRONMENTS) == {"local", "dev", "prod"}


PYTHON = """\
import dagster as dg

@dg.sensor(asset_selection="*")
def surprise(context):
    return dg.SkipReason("nothing to do")
"""


def test_a_sensor_that_python_in_defs_brings_is_held_too(make_project: Callable[[int, int], Path]) -> None:
    package = make_project(1, 1)
    (package / "defs" / "surprise.py").write_text(PYTHON)
    with pytest.raises(RegistryError, match=r"surprise: \[local\]"):
        compose(package)
    listed(package / "defs", "surprise: [local]\n")
    assert "surprise" in names(compose(package))


def publishing(*names: str) -> dg.Definitions:
    """Definitions with these publications, and a table."""
    datasets = [Dataset(name=name, publication=trees().publication) for name in names]
    return dg.Definitions.merge(
        dg.Definitions(assets=[dg.AssetSpec("table")]), *(publication_definitions(each) for each in datasets)
    )


def assets(kept: dg.Definitions) -> set[str]:
    graph = dg.Definitions(assets=kept.assets, resources={"lake": None, "warehouse": None}).resolve_asset_graph()
    return {key.to_user_string() for key in graph.get_all_asset_keys()} - {"marts/trees"}


def test_a_dataset_is_published_only_where_the_registry_says_so() -> None:
    registry = {"publication/carto/elms": frozenset(("local", "prod")), "publication/carto/oaks": frozenset(("prod",))}
    kept = {where: assets(keep_registered(publishing("elms", "oaks"), registry, where)) for where in ENVIRONMENTS}
    assert kept == {
        "local": {"table", "publication/carto/elms"},
        "dev": {"table"},
        "prod": {"table", "publication/carto/elms", "publication/carto/oaks"},
    }


def test_a_dataset_that_nobody_lists_stops_the_location_and_says_what_to_add() -> None:
    with pytest.raises(RegistryError, match=r"publication/carto/elms: \[local\]"):
        keep_registered(publishing("elms"), {}, "local")


def test_commands_publish_only_what_is_listed_for_the_environment(tmp_path: Path) -> None:
    for name in ("elms", "oaks"):
        where = "[local]" if name == "elms" else "[prod]"
        folder = listed(tmp_path / "publish/carto" / name, f"publication/carto/{name}: {where}\n")
        (folder / "defs.yaml").write_text(
            "type: data_platform.components.CartoDataset\n"
            "attributes: {from: marts/trees, description: Trees, owners: ['team:parks'], key: [id]}\n"
        )
    assert [each.id for each in published_here(tmp_path, "local")] == ["carto/elms"]
