"""Which Python `make` takes for .venv. The Pythons are scripts that say which one was called."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "requirements" / "venv.sh"


class Machine:
    """A machine with nothing but these programs."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.programs = folder, folder / "bin"
        self.programs.mkdir()

    def has(self, name: str, fits: bool = True) -> None:
        """A Python that fits or doesn't (too old, without venv, a shim without a version behind it)."""
        file = self.programs / name if "/" not in name else self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f'#!/bin/sh\n[ "$1" != -c ] || exit {0 if fits else 1}\necho {name} "$@"\n')
        file.chmod(0o755)

    def make(self, **more: str) -> str:
        """What is called in the end."""
        ran = subprocess.run(
            ["/bin/sh", SCRIPT],
            cwd=self.folder,
            env={"PATH": str(self.programs), "UV": "0.0", **more},
            capture_output=True,
            text=True,
            check=False,
        )
        return (ran.stdout + ran.stderr).strip()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_the_newest_python_that_fits_is_taken(machine: Machine) -> None:
    machine.has("python3")
    machine.has("python3.11")
    machine.has("python3.12")
    machine.has("python3.14", fits=False)
    assert machine.make() == "python3.12 -m venv .venv"


def test_a_named_python_is_taken_or_refused(machine: Machine) -> None:
    machine.has("python3.13")
    machine.has("python3.11")
    assert machine.make(PYTHON="python3.11") == "python3.11 -m venv .venv"
    machine.has("python3.10", fits=False)
    assert machine.make(PYTHON="python3.10").startswith("PYTHON=python3.10: expected Python 3.11 to 3.14")


def test_uv_brings_one_where_none_fits(machine: Machine) -> None:
    assert machine.make().endswith("or uv, which brings one")
    machine.has("uv")
    machine.has("python3", fits=False)
    assert machine.make().splitlines()[-1] == "uv venv --quiet --seed --managed-python --python 3.13 .venv"


def test_an_older_python_installs_uv(machine: Machine) -> None:
    machine.has("python3", fits=False)
    machine.has(".uv/bin/python")
    machine.has(".uv/bin/uv")
    said = machine.make().splitlines()
    assert said[:2] == [
        "python3 -m venv .uv",
        ".uv/bin/python -m pip install --quiet --disable-pip-version-check uv==0.0",
    ]
    assert said[-1].endswith("uv venv --quiet --seed --managed-python --python 3.13 .venv")


def test_the_script_and_the_project_name_the_same_versions() -> None:
    needed = re.search(r"\((\d+), (\d+)\) <= sys.version_info\[:2\] <= \((\d+), (\d+)\)", SCRIPT.read_text())
    assert needed is not None
    first, last = f"{needed[1]}.{needed[2]}", f"{needed[3]}.{int(needed[4]) + 1}"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == f">={first},<{last}"
