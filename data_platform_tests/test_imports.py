"""What loading the definitions costs in imports: every run's process pays it."""

from __future__ import annotations

import subprocess
import sys

import pytest

WORKERS = (
    "pandas",
    "pyarrow",
    "snowflake.connector",
    "dagster_snowflake",
    "dagster_dbt",
    "dbt",
    "boto3",
    "cryptography",
)
OF_DBT = {"dagster_dbt", "dbt"}  # dagster-dbt defines the models' assets, and takes dbt with it


@pytest.mark.parametrize("module", ["data_platform.definitions", "data_platform.components"])
def test_what_only_working_needs_is_not_imported(module: str) -> None:
    assert not set(WORKERS) & _imported(f"import {module}")


def test_what_is_defined_needs_nothing_that_only_working_needs() -> None:
    assert _imported("from data_platform.definitions import defs; defs()") & set(WORKERS) == OF_DBT


def _imported(statement: str) -> set[str]:
    code = f"import sys, dagster; before = set(sys.modules); {statement}; print(*(set(sys.modules) - before))"
    command = [sys.executable, "-W", "ignore", "-c", code]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
