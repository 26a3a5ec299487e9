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
    """A copy of the project with its manifest."""
    load_manifest(PROJECT, LOCAL)  # builds it, unless somebody has
    folder = tmp_path_factory.mktemp("manifest") / "dbt_project"
    return Path(shutil.copytree(PROJECT, folder, ignore=shutil.ignore_patterns("logs", ".*")))


def test_a_built_manifest_is_read_with_the_relations_in_the_settings_database(project: Path) -> None:
    built = (project / "target" / "manifest.json").stat().st_mtime_ns
    for settings, database in ((LOCAL, "LOCAL_DATABASE"), (PROD, "PRODUCTION")):
        manifest = load_manifest(project, settings)
        relation = manifest["nodes"]["model.data_platform.city_daily"]["relation_name"]
        assert relation == f"{database}.MARTS.city_daily"
        assert manifest["sources"]["source.data_platform.clear_air.stations"]["database"] == database
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


def test_local_builds_a_missing_one_and_says_in_dbts_words_why_it_cant_while_production_says_how(project: Path) -> None:
    shutil.rmtree(project / "target")
    (project / "dbt_project.yml").write_text("name: [")
    with pytest.raises(ManifestUnusable, match="Syntax error near line"):
        load_manifest(project, LOCAL)
    assert not list((project / "target").glob(".parse-*")), "no half manifest"
    with pytest.raises(ManifestUnusable, match="data-platform dbt-manifest"):
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
