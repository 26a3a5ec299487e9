"""The cost of orchestration per table within a run: materializations with all their metadata, checks, logs.

Ours are a partner's landing steps as in production, but its intake finds everything done: it reads no file and sends no
statement. The peers are one `@asset` per table that does nothing: in one process, and with a process per step, as with
Dagster's default executor. On all sides events go to PostgreSQL, as in the local cloud and in production; Dagster's
SQLite takes several times as long.
"""

from __future__ import annotations

import os
import re
import resource
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from data_platform_tests.benchmarks.feeds import write_project
from data_platform_tests.benchmarks.runner import child, cloud_of, measured, result

MODULE = "data_platform_tests.benchmarks.per_table"
TABLES, MULTIPROCESS_TABLES, MILLISECONDS, FLAT = (50, 100, 400), 4, 50, 1.25
DAY = "2026-03-08"


class _Done:
    """Stands in for Ingestion: everything is already loaded."""

    def __init__(self, source: Any, *, database: str, run_id: str, **_: Any) -> None:
        from data_platform.warehouse.table import raw_table

        self.source, self.feed, self.run_id = source, source.feed, run_id
        self.target = raw_table(database, self.feed.source, self.feed.table)

    def run(self, **_: Any) -> Any:
        from data_platform.extract.ingest import Ingested
        from data_platform.lake.manifest import FileEntry, Manifest
        from data_platform.warehouse.load import LoadResult

        extract, now = "0" * 32, datetime(2026, 3, 8, tzinfo=UTC)
        manifest = Manifest(
            extract_id=extract, source=self.feed.source, table=self.feed.table, partition=DAY, contract_hash="0",
            columns=(), files=(FileEntry("part", 10, 1000, "0"),), rows=10, rejects=0, rejects_file=None,
            position_from=None, position_to={"file_name": "f"}, started_at=now, committed_at=now, run_id=self.run_id,
        )  # fmt: skip
        load = LoadResult(rows_loaded=10, loaded=(manifest,), query_ids=("a", "b", "c"))
        return Ingested(self.target, extracted=[manifest], loads=[load])

    def settle(self, result: Any) -> None:
        """Has nothing to do."""


class _Lake:
    """Stands in for the lake: every extract has the same rows."""

    def read_rows(self, manifest: Any, *, limit: int) -> Any:
        import pyarrow as pa

        return pa.table({f"column_{at}": ["a value"] * limit for at in range(14)})


class _Session:
    """Stands in for a Snowflake session: no table has rows, and so the contract's counts are zeros."""

    def __enter__(self) -> _Session:
        return self

    def __exit__(self, *_: object) -> None: ...

    def cursor(self) -> _Session:
        return self

    def execute(self, sql: str, *_: Any, **__: Any) -> None:
        names = re.findall(r"AS (\w+)", sql) if "ROWS_CHECKED" in sql else []
        self.description = [SimpleNamespace(name=name) for name in names]
        self.rows = [(0,) * len(names)] if names else []

    def fetchall(self) -> list[tuple[int, ...]]:
        return self.rows


def ours(options: dict[str, Any]) -> dict[str, Any]:
    """The landing steps of one partner, with all its feeds."""

    package = write_project(Path.cwd() / "project", 1, options["tables"])
    sys.path.insert(0, str(package.parent))
    from data_platform.automation.feed_keys import feeds_of, step_names
    from data_platform.definitions import compose
    from data_platform.feeds.files import FileFeedSpec
    from data_platform.resources import LakeResource, LandingResource, WarehouseResource

    repository = compose(package).get_repository_def()
    instance = _instance(options)
    asked: dict[str, dict[str, Any]] = {}
    for feed, step in step_names(feeds_of(repository, FileFeedSpec)).items():
        deliveries = asked.setdefault(step, {"config": {"deliveries": []}})["config"]["deliveries"]
        deliveries.append({"feed": feed, "key": "inbound/x"})
    with (
        patch("data_platform.extract.ingest.Ingestion", _Done),
        patch("data_platform.automation.feed_run.require_current", lambda *_: None),
        patch.object(WarehouseResource, "open", lambda *_, **__: _Session()),
        patch.object(LakeResource, "lake", lambda _: _Lake()),
        patch.object(LandingResource, "bucket", lambda _: None),
    ):
        began, cpu = time.perf_counter(), _cpu()
        done = repository.get_job("__ASSET_JOB").execute_in_process(
            instance=instance,
            asset_selection=[key for key in repository.assets_defs_by_key if key.path[0] in ("lake", "raw")],
            partition_key=DAY,
            run_config={"ops": asked},
        )
        took = _took(began, cpu, options)
    assert len(done.get_asset_check_evaluations()) == 2 * options["tables"]
    return {**took, "materializations": len(done.get_asset_materialization_events())}


def single_assets(options: dict[str, Any]) -> dict[str, Any]:
    """One `@asset` per table, in this process."""

    instance = _instance(options)
    job = assets_of(options["tables"])
    began, cpu = time.perf_counter(), _cpu()
    done = job.execute_in_process(instance=instance)
    return {**_took(began, cpu, options), "materializations": len(done.get_asset_materialization_events())}


def multiprocess(options: dict[str, Any]) -> dict[str, Any]:
    """One `@asset` per table, each in its own process, one after the other."""
    import dagster as dg

    instance = _instance(options)
    os.environ["BENCH_TABLES"] = str(options["tables"])
    began, cpu = time.perf_counter(), _cpu()
    config = {"execution": {"config": {"multiprocess": {"max_concurrent": 1}}}}
    with dg.execute_job(dg.reconstructable(asset_job), instance=instance, run_config=config) as done:
        assert done.success
    return _took(began, cpu, options)


def asset_job() -> Any:
    """The job, which each step's process builds again."""
    return assets_of(int(os.environ["BENCH_TABLES"]))


def assets_of(tables: int) -> Any:
    """A job of this many assets that do nothing."""
    import dagster as dg

    def of(number: int) -> dg.AssetsDefinition:
        @dg.asset(key=["raw", f"table_{number}"])
        def table():  # type: ignore[no-untyped-def]  # Dagster reads annotations, and can't see a local import
            return dg.MaterializeResult(metadata={"rows": 10, "bytes": 1000})

        return table

    assets = [of(number) for number in range(tables)]
    return dg.Definitions(assets=assets, jobs=[dg.define_asset_job("all_tables")]).resolve_job_def("all_tables")


def _instance(options: dict[str, Any]) -> Any:
    """The local cloud's instance, whose storage is PostgreSQL."""
    import dagster as dg

    os.environ |= options["environment"]
    return dg.DagsterInstance.get()


def _cpu() -> float:
    """CPU seconds of this process and of its children that have ended."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def _took(began: float, cpu: float, options: dict[str, Any]) -> dict[str, Any]:
    return {
        "ms_a_table": (time.perf_counter() - began) * 1000 / options["tables"],
        "cpu_ms_a_table": (_cpu() - cpu) * 1000 / options["tables"],
    }


SIDES = {side.__name__: side for side in (ours, single_assets, multiprocess)}


def run(options: dict[str, Any]) -> dict[str, Any]:
    """Options: `folder` to work in, `cloud`, `quick`."""
    names = ("DAGSTER_HOME", "DAGSTER_POSTGRES_URL")
    with cloud_of(options) as variables:
        return _run({"environment": {name: variables[name] for name in names}}, quick=bool(options.get("quick")))


def _run(given: dict[str, Any], *, quick: bool) -> dict[str, Any]:
    sizes = (2, 5) if quick else TABLES
    times = 1 if quick else 3
    by_size = {
        size: measured(MODULE, "ours", {**given, "tables": size}, times=times, by="cpu_ms_a_table") for size in sizes
    }
    middle = sizes[-2]
    own = by_size[middle]
    single = measured(MODULE, "single_assets", {**given, "tables": middle}, times=times, by="cpu_ms_a_table")
    apart = measured(
        MODULE, "multiprocess", {**given, "tables": 1 if quick else MULTIPROCESS_TABLES}, by="cpu_ms_a_table"
    )
    each = {size: one["cpu_ms_a_table"] for size, one in by_size.items()}
    complete = all(one["materializations"] == 2 * size for size, one in by_size.items())
    return result(
        "per_table",
        f"Orchestration of a table within a run of {', '.join(map(str, sizes))} tables"
        " (2 materializations, 2 checks each): CPU",
        ours=f"{', '.join(f'{figure:.0f}' for figure in each.values())} ms",
        peer=f"a process a step {apart['cpu_ms_a_table']:,.0f} ms; @asset a table, one process"
        f" {single['cpu_ms_a_table']:.0f} ms (1 materialization)",
        ratio=apart["cpu_ms_a_table"] / own["cpu_ms_a_table"],
        peak_mb=own["peak_mb"],
        target=f"<= {MILLISECONDS} ms, flat",
        met=complete and each[middle] <= MILLISECONDS and each[sizes[-1]] <= FLAT * each[sizes[0]],
        floor="Dagster alone, in one process, takes"
        f" {single['cpu_ms_a_table']:.0f} ms for a table with one materialization and no check."
        " It checks each output against the others of its step, so a partner's feeds are split into steps of 50.",
        measured={"ours": by_size, "single_assets": single, "multiprocess": apart},
    )


if __name__ == "__main__":
    child(SIDES)
