"""Threads that read their first results together."""

from __future__ import annotations

from data_platform_tests.first_results import all_read


def test_threads_that_read_their_first_results_together_come_to_an_end() -> None:
    assert all_read("read_together(before=read_one_arrow_result)")
