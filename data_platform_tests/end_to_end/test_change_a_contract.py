"""A contract changes by docs/change-a-contract.md, in a copy of the project: a type, a name, a column that goes."""

from __future__ import annotations

import shlex
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from data_platform_tests.end_to_end.conftest import Demo
from data_platform_tests.end_to_end.platform import ROOT, Platform
from data_platform_tests.end_to_end.project import blocks, copy_project, environment

pytestmark = pytest.mark.end_to_end

PAGE = ROOT / "docs" / "change-a-contract.md"
PARTNER = "harbor_cranes"
TABLE = "RAW_HARBOR_CRANES.LIFTS"


@pytest.fixture(scope="module")
def project(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_project(tmp_path_factory.mktemp("changing"))


def test_every_step_of_the_page_does_what_it_says(platform: Platform, project: Path) -> None:
    def run(command: str, code: int = 0) -> CompletedProcess[str]:
        done = platform.command(*shlex.split(command), cwd=project, **environment(project))
        assert done.returncode == code, f"{command}\n{done.stdout}{done.stderr}"
        return done

    first, second = blocks(PAGE, "yaml")
    (sample,) = blocks(PAGE, "csv")
    planned, changed = (block.splitlines() for block in blocks(PAGE, "text"))
    test_, plan, again, preview, sql, reload = [line for each in blocks(PAGE, "bash") for line in each.splitlines()]

    run(f"dg scaffold defs data_platform.components.SftpPartner sources/partners/{PARTNER}")
    folder = project / "data_platform/defs/sources/partners" / PARTNER / "lifts"
    folder.mkdir()
    (folder / "defs.yaml").write_text(first)
    file = project / "lifts_20260601.csv"
    file.write_text(sample)
    run("data-platform up")
    platform.drop(PARTNER, file)
    run(f"data-platform run --select raw/{PARTNER}/lifts")
    assert len(platform.rows(TABLE)) == 3

    (folder / "defs.yaml").write_text(second)
    run("data-platform check")
    assert "2 fit the contract, 1 rejects" in run(test_, code=3).stdout
    told = run(plan, code=3).stdout
    assert all(line in told for line in planned), told
    told = run(again).stdout
    assert all(line in told for line in changed), told
    assert "matches its contract" in run(plan).stdout

    rows = [(row["lift_id"], str(row["weight"]), row["crane_number"]) for row in platform.rows(TABLE)]
    assert sorted(rows) == [("L-1", "12.500", 3), ("L-3", "7.250", 4)]
    assert "CRANE_NUMBER" in run(preview).stdout
    assert "12.5" in run(sql).stdout

    with platform.snowflake() as connection:
        connection.cursor().execute(f"DELETE FROM {TABLE} WHERE LIFT_ID = 'L-1'")
    lost = run(f"data-platform run --select raw/{PARTNER}/lifts", code=3)
    assert f"{PARTNER}/lifts: the ledger expects 2 rows, and the table has 1. `{reload}`" in lost.stderr
    run(reload)
    assert len(platform.rows(TABLE)) == 2
