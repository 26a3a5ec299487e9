"""Dagster's private modules are used in dagster_internals.py only, by the product nowhere."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HERE = Path(__file__)
ALLOWED = HERE.with_name("dagster_internals.py")
PRIVATE = re.compile(r"\bdagster\w*(\.\w+)*\._[a-z]\w*")


def private_names(text: str) -> Iterator[str]:
    """The private Dagster modules that a module imports, or names in a string."""
    for node in ast.walk(ast.parse(text)) if "dagster" in text else ():
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names = [node.value]
        yield from (found[0] for name in names for found in PRIVATE.finditer(name))


def test_dagsters_private_modules_are_used_in_one_module_of_the_tests() -> None:
    modules = {path for package in ("data_platform", "data_platform_tests") for path in (ROOT / package).rglob("*.py")}
    used = {str(path.relative_to(ROOT)): list(private_names(path.read_text())) for path in modules - {ALLOWED, HERE}}
    assert {path: names for path, names in used.items() if names} == {}


@pytest.mark.parametrize(
    "text",
    [
        "import dagster._core.errors",
        "from dagster._core import errors",
        "from dagster import _check",
        "def late(): from dagster_dbt.core._private import x",
        "code = 'import dagster._core as found'",
    ],
)
def test_every_way_to_use_one_is_found(text: str) -> None:
    assert list(private_names(text))


@pytest.mark.parametrize("text", ["import dagster as dg", "from dagster import asset", "'see dagster. _Then_ go on'"])
def test_public_names_are_free(text: str) -> None:
    assert not list(private_names(text))
