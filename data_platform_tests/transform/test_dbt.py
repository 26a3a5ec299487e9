"""dbt's process: its threads may read their first results together, as they do when dbt lists schemas."""

from __future__ import annotations

from data_platform_tests.first_results import all_read

IN_DBTS_PLACE = """
import types
from data_platform.transform.dbt import main

def cli(*_, **__):
    read_together()

sys.modules["dbt.cli.main"] = types.ModuleType("dbt.cli.main")
sys.modules["dbt.cli.main"].cli = cli
main()
"""


def test_dbts_threads_can_read_their_first_results_together() -> None:
    assert all_read(IN_DBTS_PLACE)
