"""The manifest is built once for a state of the project, and never where it must be there already."""

from __future__ import annotations

import json
import shutil
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import data_platform
from data_platform.environment import Settings
from data_platform.transform.manifest import ManifestUnusable, build_manifest, fingerprint, load_manifest
from data_platform_tests.test_environment import PRODUCTION

PROJECT = Path(data_platform.__file__).parent.parent / "dbt_project"
LOCAL = Settings.from_environment({"SNOWFLAKE_DATABASE": "LOCAL_DATABASE"})
PROD = Settings.from_environment({**PRODUCTION, "SNOWFLAKE_DATABASE": "PRODUCTION"})


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project without a manifest."""
    folder = tmp_path_factory.mktemp("manifest") / "dbt_project"
    return Path(shutil.copytree(PROJECT, folder, ignore=shutil.ignore_patterns("target", "logs")))


def test_without_a_manifest_production_says_how_to_make_one(project: Path) -> None:
    with pytest.raises(ManifestUnusable, match="data-platform dbt-manifest"):
        load_manifest(project, PROD)


def test_local_builds_it_on_first_need_and_production_reads_it_for_its_own_database(project: Path) -> None:
    local = load_manifest(project, LOCAL)
    relation = "LOCAL_DATABASE.MARTS.city_daily"
    assert local["nodes"]["model.data_platform.city_daily"]["relation_name"] == relation

    built = (project / "target" / "manifest.json").stat().st_mtime_ns
    prod = load_manifest(project, PROD)
    assert (project / "target" / "manifest.json").stat().st_mtime_ns == built
    assert prod["nodes"]["model.data_platform.city_daily"]["relation_name"] == "PRODUCTION.MARTS.city_daily"
    assert prod["sources"]["source.data_platform.clear_air.stations"]["database"] == "PRODUCTION"
    assert build_manifest(project, LOCAL) == fingerprint(project)
    assert (project / "target" / "manifest.json").stat().st_mtime_ns == built, "nothing changed, nothing to do"


def test_any_change_of_the_project_makes_it_stale_and_what_dbt_writes_does_not(project: Path) -> None:
    before = fingerprint(project)
    (project / "target").mkdir(exist_ok=True)
    (project / "target" / "run_results.json").write_text(json.dumps({}))
    assert fingerprint(project) == before
    (project / "models" / "marts" / "new.sql").write_text("select 1 as one")
    assert fingerprint(project) != before
    with pytest.raises(ManifestUnusable):
        load_manifest(project, PROD)


def test_a_project_that_dbt_cant_parse_says_so_in_dbts_words_and_leaves_no_half_manifest(project: Path) -> None:
    (project / "dbt_project.yml").write_text("name: [")
    with pytest.raises(ManifestUnusable, match="Syntax error near line"):
        build_manifest(project, LOCAL)
    assert not list((project / "target").glob(".parse-*"))
    with pytest.raises(ManifestUnusable):
        load_manifest(project, PROD)


def test_another_process_may_parse_while_the_project_is_looked_at(project: Path) -> None:
    over = threading.Event()

    def parse() -> None:
        while not over.is_set():
            with tempfile.TemporaryDirectory(prefix=".parse-", dir=project / "target") as scratch:
                Path(scratch, "manifest.json").touch()

    (project / "target").mkdir(exist_ok=True)
    with ThreadPoolExecutor(1) as pool:
        parsing = pool.submit(parse)
        try:
            assert len({fingerprint(project) for _ in range(100)}) == 1
        finally:
            over.set()
        parsing.result()
