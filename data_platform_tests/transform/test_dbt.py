"""dbt's process: its threads may read their first results together, as they do when dbt lists schemas."""

from __future__ import annotations

import subprocess

import pytest

from data_platform.transform.process import dbt_command
from data_platform_tests.first_results import run_program

IN_DBTS_PLACE = """
import types
from data_platform.transform.dbt import main

def cli(prog_name):
    read_together()

sys.modules["dbt.cli.main"] = types.ModuleType("dbt.cli.main")
sys.modules["dbt.cli.main"].cli = cli
main()
"""


@pytest.mark.parametrize("attempt", range(3))
def test_dbts_threads_can_read_their_first_results_together(attempt: int) -> None:
    assert run_program(IN_DBTS_PLACE).strip() == "all read"


def test_it_is_dbt() -> None:
    done = subprocess.run(dbt_command("no-such"), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Usage: dbt [OPTIONS]" in done.stdout + done.stderr
