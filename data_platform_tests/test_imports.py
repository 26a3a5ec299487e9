"""What loading the definitions costs before there is anything to define: every run's process pays it."""

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


@pytest.mark.parametrize("module", ["data_platform.definitions", "data_platform.components"])
def test_what_only_working_needs_is_not_imported(module: str) -> None:
    code = f"import sys, dagster; before = set(sys.modules); import {module}; print(*(set(sys.modules) - before))"
    imported = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not set(WORKERS) & set(imported)
