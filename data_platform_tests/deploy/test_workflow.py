"""What GitHub runs: the order of its jobs, who may deploy what, and that each step is a command that exists."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from data_platform import cli
from data_platform.cli.smoke import declaration
from data_platform.feeds.partners import declares_smoke
from data_platform_tests.deploy.command_lines import parse
from data_platform_tests.deploy.dockerfile import ROOT
from deploy import operate

TEXT = (ROOT / ".github" / "workflows" / "deploy.yaml").read_text(encoding="utf-8")
JOBS: dict[str, Any] = yaml.safe_load(TEXT)["jobs"]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def test_it_tests_builds_once_deploys_dev_and_after_approval_prod() -> None:
    assert [(name, job.get("needs")) for name, job in JOBS.items()] == [
        ("test", None),
        ("image", "test"),
        ("dev", "image"),
        ("prod", ["image", "dev"]),
    ]
    assert [each["run"] for each in JOBS["test"]["steps"] if "run" in each] == [
        "make check",
        "make deploy-check",
        "make test",
    ]
    assert "github.ref_name == 'main'" in JOBS["prod"]["if"]
    assert [JOBS[name]["environment"] for name in ("image", "dev", "prod")] == ["dev", "dev", "prod"]
    assert TEXT.count("push-image") == 1
    assert JOBS["dev"]["env"]["IMAGE"] == JOBS["prod"]["env"]["IMAGE"] == "${{ needs.image.outputs.digest }}"
    assert JOBS["dev"]["steps"] == JOBS["prod"]["steps"]


def test_a_given_digest_is_deployed_without_building() -> None:
    on = yaml.safe_load(TEXT)[True]  # YAML's `on`
    assert on["workflow_dispatch"]["inputs"]["digest"]["required"] is True
    assert JOBS["image"]["outputs"]["digest"].startswith("${{ inputs.digest ||")
    assert all(
        "inputs.digest == ''" in each.get("if", "")
        for each in (*JOBS["image"]["steps"], JOBS["test"])
        if each.get("id") == "push" or each is JOBS["test"]
    )


def test_github_has_no_key_of_aws() -> None:
    assert "secrets." not in TEXT
    for name, job in JOBS.items():
        signs_in = any("configure-aws-credentials" in each.get("uses", "") for each in job["steps"])
        assert (job.get("permissions", {}).get("id-token") == "write") is signs_in, name


def test_every_action_is_pinned_to_a_commit() -> None:
    uses = re.findall(r"uses: (\S+)", TEXT)
    assert len(uses) == 2
    assert all(re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", each) for each in uses)


def _commands() -> Iterator[str]:
    for job in JOBS.values():
        yield from (each["run"] for each in job["steps"] if "run" in each)


@pytest.mark.parametrize("command", sorted(set(_commands())))
def test_each_step_is_a_command_of_the_repository(command: str) -> None:
    program, *arguments = command.split()
    if program == "make":
        assert set(arguments) <= TARGETS
    else:
        assert os.access(ROOT / program, os.X_OK), program


NPX = """#!/bin/sh
echo "npx $*" >> {folder}/calls
"""
PYTHON = """#!/bin/sh
echo "python $*" >> {folder}/calls
case "$*" in *{fails}*) exit 3 ;; esac
"""


def released(folder: Path, *arguments: str, fails: str = "nothing") -> tuple[int, list[str], str]:
    """Runs deploy/release with npx and Python replaced. Returns its exit code, the calls, and what it printed."""
    for part in ("deploy", ".venv/bin"):
        (folder / part).mkdir(parents=True)
    script = folder / "deploy" / "release"
    script.write_text((ROOT / "deploy" / "release").read_text(encoding="utf-8"))
    for path, text in ((folder / "npx", NPX), (folder / ".venv/bin/python", PYTHON)):
        path.write_text(text.format(folder=folder, fails=fails))
        path.chmod(0o755)
    done = subprocess.run(
        ["/bin/sh", script, *arguments],
        env={"PATH": f"{folder}:/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    calls = folder / "calls"
    return done.returncode, calls.read_text().splitlines() if calls.exists() else [], done.stdout


def with_smoke(folder: Path) -> Path:
    """A project that declares the partner `smoke`, as `data-platform smoke --init` does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(declaration, "DEFS", folder / "data_platform" / "defs")
        patch.setattr(declaration, "DBT_PROJECT", folder / "dbt_project")
        declaration.declare(None)
    assert declares_smoke(folder / "data_platform" / "defs"), "the stacks look for the same file"
    return folder


def test_a_release_migrates_before_the_services_have_the_new_image(tmp_path: Path) -> None:
    code, calls, _ = released(with_smoke(tmp_path), "dev", "sha256:abc")
    assert code == 0
    assert [re.sub(r"aws-cdk@\S+ ", "", each) for each in calls] == [
        "npx --yes deploy data-platform-dev-cluster --require-approval never --context image=sha256:abc",
        "python -m deploy.operate dev dagster instance migrate",
        "python -m deploy.operate dev data-platform schema apply --yes",
        "npx --yes deploy data-platform-dev-* --require-approval never --context image=sha256:abc",
        "python -m deploy.operate dev data-platform doctor",
        "python -m deploy.operate dev data-platform smoke --minutes 30",
    ]
    for each in calls:
        if each.startswith("python"):
            words = each.split()[3:]
            parse(operate.main, words)
            if words[1] == "data-platform":
                parse(cli.main, words[2:])


def test_a_migration_that_fails_leaves_the_services_as_they_are(tmp_path: Path) -> None:
    code, calls, _ = released(tmp_path, "dev", "sha256:abc", fails="schema")
    assert code == 3
    assert not [each for each in calls if "-*" in each]


def test_a_release_fails_if_the_test_file_does_not_come_through(tmp_path: Path) -> None:
    code, _, _ = released(with_smoke(tmp_path), "dev", "sha256:abc", fails="smoke")
    assert code == 3, "so prod's job, which needs dev's, doesn't start"


def test_a_release_without_the_partner_says_how_to_turn_the_smoke_test_on(tmp_path: Path) -> None:
    code, calls, said = released(tmp_path, "dev", "sha256:abc")
    assert (code, calls[-1]) == (0, "python -m deploy.operate dev data-platform doctor")
    (line,) = said.splitlines()
    assert "`data-platform smoke --init --public-key KEY.pub`" in line and "docs/upgrade.md" in line


def test_a_release_needs_an_environment_and_a_digest(tmp_path: Path) -> None:
    assert released(tmp_path, "dev")[0] != 0
