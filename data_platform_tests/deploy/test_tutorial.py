"""deploy/README.md as a newcomer types it: every program, option and file of its command lines exists."""

from __future__ import annotations

import importlib
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from data_platform import cli
from data_platform_tests.deploy.command_lines import parse
from data_platform_tests.deploy.dockerfile import ROOT
from data_platform_tests.deploy.test_workflow import TARGETS
from deploy.bootstrap import CDK
from deploy.environment import FOLDER

PAGE = (ROOT / "deploy" / "README.md").read_text(encoding="utf-8")
OTHERS = {"export", "aws", "sftp", "ssh-keygen", "cd"}
STACKS = {path.stem for path in (ROOT / "deploy" / "stacks").glob("*.py")}


def lines() -> Iterator[str]:
    """Every command line of the page's code blocks."""
    for block in re.findall(r"^ *```bash\n(.*?)^ *```", PAGE, re.DOTALL | re.MULTILINE):
        for line in block.replace("\\\n", " ").splitlines():
            yield from (part.strip() for part in line.split("&&"))


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with the files that the page's reader has."""
    monkeypatch.chdir(tmp_path)
    Path("alice.p8").touch()


@pytest.mark.usefixtures("keys")
@pytest.mark.parametrize("line", list(dict.fromkeys(lines())))
def test_a_command_line_of_the_tutorial_parses(line: str) -> None:
    if inner := re.fullmatch(r'eval "\$\((.*)\)"', line):
        line = inner[1]
    words = shlex.split(line)
    while re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words.pop(0)
    program, *arguments = words
    if program == ".venv/bin/data-platform":
        parse(cli.main, arguments)
    elif program == ".venv/bin/python":
        assert arguments[0] == "-m"
        parse(importlib.import_module(arguments[1]).main, arguments[2:])
        if arguments[1] == "deploy.operate":
            assert arguments[3] == "data-platform"
            parse(cli.main, arguments[4:])
    elif program == "make":
        assert set(arguments) <= TARGETS
    elif program == "npx":
        assert (program, *arguments[:2]) == CDK
        assert arguments[2] == "deploy"
        assert all(each.removeprefix("data-platform-dev-") in STACKS for each in arguments[3:])
    elif program == "deploy/release":
        assert arguments[0] in {path.stem for path in FOLDER.glob("*.yaml")}
        assert os.access(ROOT / program, os.X_OK)
    elif program.startswith("deploy/"):
        assert os.access(ROOT / program, os.X_OK)
    else:
        assert program in OTHERS


def test_the_tutorial_bootstraps_before_it_lets_partners_in_and_destroys_last() -> None:
    places = [
        PAGE.index(each) for each in ("make deploy-check\n", "deploy.bootstrap dev", "sftp -i ", "deploy.destroy dev")
    ]
    assert places == sorted(places)
