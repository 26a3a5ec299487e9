"""The benchmarks run, with sizes too small for meaningful figures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from data_platform_tests.benchmarks import database_table
from data_platform_tests.benchmarks.__main__ import BENCHMARKS, ON_REQUEST, floors, merged, table
from data_platform_tests.benchmarks.commands import COMMANDS
from data_platform_tests.benchmarks.runner import SideFailed, measured

KEYS = {"name", "what", "ours", "peer", "ratio", "peak_mb", "target", "met", "floor", "measured"}
ON_CLOUD = {"per_table", "small_file", "unmatched_files", "table_size", "ledger_size", "history"}
ON_DATABASES = {*database_table.BENCHMARKS, "mariadb_table"}
"""One on each system is tried: those of PostgreSQL differ in their columns only."""
PLATFORMS = ON_REQUEST | COMMANDS.keys() | {"push_to_run"}
"""Benchmarks that run a whole platform, as the end-to-end tests do."""


def _result(name: str, folder: Path, **cloud: Any) -> None:
    found = BENCHMARKS[name]({"folder": str(folder), "quick": True, **cloud})
    assert set(found) == KEYS
    assert found["name"] == name
    assert found["what"] in table([found])


@pytest.mark.parametrize("name", sorted(BENCHMARKS.keys() - PLATFORMS - ON_CLOUD - ON_DATABASES))
def test_a_benchmark_runs_and_says_what_it_came_to(name: str, tmp_path: Path) -> None:
    _result(name, tmp_path)


@pytest.mark.server
@pytest.mark.parametrize("name", ["database_narrow", "mariadb_table"])
def test_one_with_a_server_of_its_own_does_too(name: str, tmp_path: Path) -> None:
    _result(name, tmp_path)


# The others are alike, and each takes CI half a minute or more.
@pytest.mark.parametrize("name", ["history", "small_file"])
def test_one_on_the_local_cloud_does_too(name: str, tmp_path: Path, local_cloud: Mapping[str, str]) -> None:
    _result(name, tmp_path, cloud=local_cloud)


def test_a_side_that_fails_is_told_with_what_it_wrote() -> None:
    with pytest.raises(SideFailed, match="KeyError: 'folder'"):
        measured("data_platform_tests.benchmarks.code_location", "ours", {})


def test_a_target_that_is_missed_stands_out() -> None:
    missed: dict[str, Any] = dict.fromkeys(KEYS, "") | {"ratio": 0.5, "peak_mb": 100, "target": "1 s", "met": False}
    assert "**no**" in table([missed])
    assert "two seconds at least" in floors([missed | {"floor": "two seconds at least"}])
    assert floors([missed | {"met": True}]) == ""


def test_one_benchmark_taken_again_replaces_its_own_figures_only() -> None:
    there: list[dict[str, Any]] = [{"name": "per_table", "ours": "1"}, {"name": "landing_tick", "ours": "2"}]
    found = merged(there, [{"name": "landing_tick", "ours": "3"}, {"name": "packing", "ours": "4"}])
    assert {one["name"]: one["ours"] for one in found} == {"per_table": "1", "landing_tick": "3", "packing": "4"}
