"""One invalid definition stops a laptop's code location; in `dev` and `prod` it is left out and the others load."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from data_platform.components.loading import load_components
from data_platform.definitions import compose
from data_platform.environment import LOCAL_DEFAULTS, settings

PYTHON = "import dagster as dg\n\n@dg.asset\ndef hand_made() -> None: ...\n"


@pytest.fixture
def package(make_project: Callable[[int, int], Path]) -> Path:
    """Two partners with a feed each, and an asset in Python; the first partner's YAML is wrong."""
    package = make_project(2, 1)
    (package / "defs" / "by_hand").mkdir()
    (package / "defs" / "by_hand" / "asset.py").write_text(PYTHON)
    file = package / "defs" / "sources" / "partners" / "partner_00" / "defs.yaml"
    file.write_text(file.read_text().replace("time_zone:", "time_zome:"))
    return package


def keys(definitions: dg.Definitions) -> dict[str, str | None]:
    assets: Any = definitions.assets
    specs = [spec for each in assets for spec in ([each] if isinstance(each, dg.AssetSpec) else each.specs)]
    return {spec.key.to_user_string(): spec.description for spec in specs}


def test_a_laptop_is_told_of_the_mistake(package: Path) -> None:
    with pytest.raises(Exception, match="partner_00") as caught:
        load_components(package, tolerant=False)
    assert "time_zome" in str(caught.value.__cause__)


def test_elsewhere_the_others_load_and_an_asset_in_its_place_gives_the_error(package: Path) -> None:
    loaded = load_components(package, tolerant=True)
    assert not loaded.complete
    found = keys(loaded.definitions)
    assert {"raw/partner_01/feed_000", "hand_made"} <= found.keys()
    assert "raw/partner_00/feed_000" not in found
    assert "time_zome" in (found["invalid/sources/partners/partner_00"] or "")


def test_in_prod_the_other_feeds_load_beside_a_broken_one(
    make_project: Callable[[int, int], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    package = make_project(1, 2)
    file = package / "defs" / "sources" / "partners" / "partner_00" / "feed_000" / "defs.yaml"
    file.write_text(file.read_text().replace("decimal(12,3)", "decimal(12;3)"))
    for name, value in {
        **LOCAL_DEFAULTS,
        "SNOWFLAKE_STORAGE_INTEGRATION": "a",
        "DATA_PLATFORM_ENVIRONMENT": "prod",
    }.items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    try:
        specs = {spec.key.to_user_string(): spec for spec in compose(package).resolve_all_asset_specs()}
    finally:
        settings.cache_clear()
    assert {"raw/partner_00/feed_001", "lake/partner_00/feed_001"} <= specs.keys()
    assert "is not a column type" in (specs["raw/partner_00/feed_000"].description or "")
    assert "lake/partner_00/feed_000" not in specs


def test_python_that_cannot_be_imported_stops_any_code_location(package: Path) -> None:
    (package / "defs" / "by_hand" / "broken.py").write_text("import no_such_module\n")
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        load_components(package, tolerant=True)
