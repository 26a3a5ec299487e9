"""A copy of the project that a test may add feeds to, break and check, as a newcomer would in a clone."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from data_platform_tests.end_to_end.platform import ROOT

# dbt's manifest, in `target`, is copied where it is built: to parse the project takes longer than most tests.
_LEFT_OUT = shutil.ignore_patterns("__pycache__", ".parse-*", "logs", ".git", "*.egg-info")
_FENCED = re.compile(r"^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


def copy_project(folder: Path) -> Path:
    """Copies what makes the code location. Run its commands with the copy as PYTHONPATH: see `environment`."""
    project = folder / "copy"
    for name in ("data_platform", "dbt_project", "deploy", "docs"):
        shutil.copytree(ROOT / name, project / name, ignore=_LEFT_OUT)
    for name in ("pyproject.toml", "workspace.yaml"):
        shutil.copy(ROOT / name, project / name)
    return project


def environment(project: Path) -> dict[str, str]:
    """The variable that makes Python take the copy instead of the installed package."""
    return {"PYTHONPATH": str(project)}


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a language on a page of docs/, in order."""
    return [
        match["text"] for match in _FENCED.finditer(page.read_text(encoding="utf-8")) if match["language"] == language
    ]
