"""What loading the definitions costs in imports: every run's process pays it."""

from __future__ import annotations

import subprocess
import sys

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


STEPS = ("import data_platform.components", "import data_platform.definitions", "data_platform.definitions.defs()")


def test_what_only_working_needs_is_not_imported_where_things_are_defined() -> None:
    code = "import sys, dagster; before = set(sys.modules)\n"
    code += "\n".join(f"{step}; print(*(set(sys.modules) - before))" for step in STEPS)
    ran = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    components, definitions, defined = (set(line.split()) & set(WORKERS) for line in ran.stdout.splitlines())
    assert components == definitions == set()
    assert defined == OF_DBT
