"""Threads that read their first results together."""

from __future__ import annotations

import pytest

from data_platform_tests.first_results import run_program


@pytest.mark.parametrize("attempt", range(3))
def test_first_results_read_by_many_threads_at_once_come_to_an_end(attempt: int) -> None:
    assert run_program("read_together(before=read_one_arrow_result)").strip() == "all read"
