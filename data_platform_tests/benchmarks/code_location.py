"""Loading a code location of 2,000 tables, against the same tables in plain Dagster.

Ours loads as `data_platform.definitions` does: the YAML of 20 partners and 2,000 feeds, each feed with three assets
(inbound, lake, raw), ten columns and two checks, plus sensors, jobs and resources. Two peers define only one asset per
table: as 2,000 components that Dagster loads from YAML, and as 2,000 `@asset`s. A third peer defines as many assets and
checks as ours, bare and without YAML: Dagster's own share of the cost. All figures are CPU seconds beyond a process
that imports Dagster and loads empty definitions.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from data_platform_tests.benchmarks.feeds import write_project
from data_platform_tests.benchmarks.runner import child, measured, result, side_by_side

MODULE = "data_platform_tests.benchmarks.code_location"
PARTNERS, FEEDS, TIMES_BARE = 20, 100, 1.25
_COMPONENT = """\
import dagster as dg

class Table(dg.Component, dg.Model, dg.Resolvable):
    key: str
    group: str

    def build_defs(self, context):
        return dg.Definitions(assets=[dg.AssetSpec(self.key.split("/"), group_name=self.group)])
"""


def written(options: dict[str, Any]) -> None:
    """Writes the projects into the folder that the loading sides read."""
    partners, feeds = options["partners"], options["feeds"]
    write_project(Path(options["folder"]) / "ours", partners, feeds)
    package = write_project(Path(options["folder"]) / "components", 0, 0)
    (package / "tables.py").write_text(_COMPONENT)
    for partner in range(partners):
        for feed in range(feeds):
            folder = package / "defs" / f"partner_{partner:02}" / f"feed_{feed:03}"
            folder.mkdir(parents=True)
            (folder / "defs.yaml").write_text(
                f"type: town.tables.Table\nattributes:\n  key: raw/partner_{partner:02}/feed_{feed:03}\n"
                f"  group: partner_{partner:02}\n"
            )


def control(options: dict[str, Any]) -> None:
    """Imports Dagster and loads empty definitions."""
    import dagster as dg

    dg.Definitions().get_repository_def()


def ours(options: dict[str, Any]) -> dict[str, Any]:
    """The platform's own composition over the project's `defs/`."""
    sys.path.insert(0, options["folder"] + "/ours")
    from data_platform.definitions import compose

    repository = compose(Path(options["folder"]) / "ours" / "town").get_repository_def()
    return {"assets": len(repository.assets_defs_by_key)}


def single_assets(options: dict[str, Any]) -> dict[str, Any]:
    """One `@asset` per table."""
    import dagster as dg

    assets = []
    for partner in range(options["partners"]):
        for feed in range(options["feeds"]):

            @dg.asset(
                key=["raw", f"partner_{partner:02}", f"feed_{feed:03}"],
                group_name=f"partner_{partner:02}",
                partitions_def=dg.DailyPartitionsDefinition("2026-01-01", timezone="America/New_York"),
            )
            def table() -> None: ...

            assets.append(table)
    return {"assets": len(dg.Definitions(assets=assets).get_repository_def().assets_defs_by_key)}


def multi_assets(options: dict[str, Any]) -> dict[str, Any]:
    """As many assets and checks as ours, bare, in one multi-asset per partner: Dagster's own share of the cost."""
    import dagster as dg

    days = dg.DailyPartitionsDefinition("2026-01-01", timezone="America/New_York")
    assets: list[Any] = []
    for partner in range(options["partners"]):
        specs: list[dg.AssetSpec] = []
        inbound = ["inbound", f"partner_{partner:02}"]
        assets.append(dg.AssetSpec(inbound))
        for feed in range(options["feeds"]):
            lake, raw = ([kind, f"partner_{partner:02}", f"{feed:03}"] for kind in ("lake", "raw"))
            specs.append(dg.AssetSpec(lake, deps=[inbound], skippable=True, partitions_def=days))
            specs.append(dg.AssetSpec(raw, deps=[lake], skippable=True, partitions_def=days))
        tables = [spec.key for spec in specs if spec.key.path[0] == "raw"]
        checks = [dg.AssetCheckSpec(name, asset=key) for key in tables for name in ("contract", "deliveries")]

        @dg.multi_asset(name=f"partner_{partner:02}", specs=specs, check_specs=checks, can_subset=True)
        def land():  # type: ignore[no-untyped-def]  # Dagster takes an annotation for the outputs' types
            ...

        assets.append(land)
    return {"assets": len(dg.Definitions(assets=assets).get_repository_def().assets_defs_by_key)}


def parsed(options: dict[str, Any]) -> None:
    """Dagster imported, and the YAML of our feeds parsed, without validation."""
    import dagster as dg

    from data_platform.feeds.documents import parse

    dg.Definitions().get_repository_def()
    for file in (Path(options["folder"]) / "ours").rglob("defs.yaml"):
        parse(file.read_text(encoding="utf-8"))


def components(options: dict[str, Any]) -> dict[str, Any]:
    """One component per table, loaded like a `dg` project."""
    import dagster as dg

    sys.path.insert(0, options["folder"] + "/components")
    loaded = dg.load_from_defs_folder(path_within_project=Path(options["folder"]) / "components" / "town")
    return {"assets": len(loaded.get_repository_def().assets_defs_by_key)}


def own_location(options: dict[str, Any]) -> None:
    """This repository's own code location, with its dbt models."""
    from data_platform.definitions import defs

    defs().get_repository_def()


_SIDES = (control, ours, single_assets, multi_assets, parsed, components, own_location)
SIDES = {side.__name__: side for side in _SIDES}


def run(options: dict[str, Any]) -> dict[str, Any]:
    """Options: `folder` to work in, `quick`."""
    partners, feeds = (2, 10) if options.get("quick") else (PARTNERS, FEEDS)
    given = {"folder": str(options["folder"]), "partners": partners, "feeds": feeds}
    written(given)
    times = 1 if options.get("quick") else 5
    sides = side_by_side(MODULE, ("control", "ours", "single_assets", "multi_assets", "parsed"), given, times=times)
    bare = sides.pop("control")
    if options.get("quick"):
        sides["components"] = sides["single_assets"]  # for components, Dagster imports all integrations
    else:
        sides["components"] = measured(MODULE, "components", given)
        sides["own_location"] = measured(MODULE, "own_location", given)
    cpu = {name: side["cpu"] - bare["cpu"] for name, side in sides.items()}
    tables = partners * feeds
    own = sides["ours"]
    return result(
        "code_location",
        f"Load a code location of {tables:,} tables ({own['assets']:,} assets), CPU beyond importing Dagster",
        ours=f"{cpu['ours']:.2f} s",
        peer=f"Dagster components {cpu['components']:.2f} s; bare @assets {cpu['single_assets']:.2f} s; as many bare"
        f" assets and checks as ours {cpu['multi_assets']:.2f} s",
        ratio=cpu["components"] / cpu["ours"],
        peak_mb=own["peak_mb"],
        target=f"<= {TIMES_BARE}x as many bare assets and checks",
        met=cpu["ours"] <= TIMES_BARE * cpu["multi_assets"] and own["assets"] >= 3 * tables,
        floor="Dagster alone, given the same assets with their columns, owners, tags and links as Python objects and no"
        f" YAML, takes 1.34 times as long as for bare ones. Parsing the YAML takes {cpu['parsed']:.2f} s, most of it in"
        " libyaml",
        measured={"tables": tables, "importing_dagster": bare, "cpu_beyond_it": cpu, **sides},
    )


if __name__ == "__main__":
    child(SIDES)
