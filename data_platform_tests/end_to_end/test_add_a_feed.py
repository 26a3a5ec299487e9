"""A newcomer adds a partner and a feed by docs/add-a-feed.md, in a copy of the project, and writes no Python."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_platform_tests.end_to_end.conftest import Demo
from data_platform_tests.end_to_end.platform import ROOT, Platform
from data_platform_tests.end_to_end.project import blocks, copy_project, environment

pytestmark = pytest.mark.end_to_end

PAGE = ROOT / "docs" / "add-a-feed.md"
PARTNERS = "data_platform/defs/sources/partners"
PARTNER = "harbor_ferries"


@pytest.fixture(scope="module")
def project(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_project(tmp_path_factory.mktemp("newcomer"))


def _run(platform: Platform, project: Path, command: str) -> str:
    """Runs a command of the page as it stands there. Returns what it said."""
    done = platform.command(*command.replace("'", "").split(), cwd=project, **environment(project))
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def scaffolded(platform: Platform, project: Path) -> Path:
    """The project after the page's two scaffold commands; what they wrote is untouched."""
    commands = [line for block in blocks(PAGE, "bash") for line in block.splitlines() if line.startswith("dg scaffold")]
    assert len(commands) == 2
    for command in commands:
        _run(platform, project, command)
    return project


def test_what_scaffold_writes_loads_as_it_is(platform: Platform, scaffolded: Path) -> None:
    assert "defs.yaml files are valid" in _run(platform, scaffolded, "data-platform check")
    script = (
        "from data_platform.definitions import defs;"
        " print([spec.key.to_user_string() for spec in defs().resolve_all_asset_specs()])"
    )
    done = platform.command("python", "-c", script, cwd=scaffolded, **environment(scaffolded))
    assert f"'raw/{PARTNER}/crossings'" in done.stdout, done.stderr
    assert f"'inbound/{PARTNER}'" in done.stdout


def test_a_feed_filled_in_from_the_page_loads_a_file(platform: Platform, scaffolded: Path, tmp_path: Path) -> None:
    (declaration,) = blocks(PAGE, "yaml")
    (sample,) = blocks(PAGE, "csv")
    (scaffolded / PARTNERS / PARTNER / "crossings" / "defs.yaml").write_text(declaration)
    _run(platform, scaffolded, "data-platform check")
    _run(platform, scaffolded, "data-platform up")

    file = tmp_path / "crossings_20260601.csv"
    file.write_text(sample)
    platform.drop(PARTNER, file)
    load = next(line for block in blocks(PAGE, "bash") for line in block.splitlines() if "run --select" in line)
    _run(platform, scaffolded, load)

    rows = platform.query(
        f"SELECT CROSSING_ID, TO_VARCHAR(DEPARTED_AT), PASSENGERS, FARE FROM RAW_{PARTNER}.CROSSINGS ORDER BY 1"
    )
    assert [(row[0], int(row[2]), str(row[3])) for row in rows] == [
        ("F-000001", 41, "102.50"),
        ("F-000002", 17, "42.50"),
    ]
    assert rows[0][1].startswith("2026-06-01 10:15:00"), "06:15 in the city is 10:15 UTC"
    rejects = platform.query("SELECT RECORD_NUMBER, COLUMN_NAME FROM PLATFORM.REJECTS WHERE SOURCE = 'harbor_ferries'")
    assert [(int(number), column) for number, column in rejects] == [(3, "passengers")]


def test_the_page_shows_a_mistake_as_check_shows_it(platform: Platform, scaffolded: Path) -> None:
    file = scaffolded / PARTNERS / PARTNER / "crossings" / "defs.yaml"
    right = file.read_text()
    (shown,) = blocks(PAGE, "text")
    try:
        file.write_text(
            right.replace("load_mode: replace", "load_mode: upsert").replace("load_mode: append", "load_mode: upsert")
        )
        checked = platform.command("data-platform", "check", cwd=scaffolded, **environment(scaffolded))
    finally:
        file.write_text(right)
    assert checked.returncode == 3
    message = shown.splitlines()[0].split(": ", 1)[1]
    assert message in checked.stdout
