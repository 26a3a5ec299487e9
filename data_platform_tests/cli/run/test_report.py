"""What a run says at its end."""

from __future__ import annotations

from typing import Any

import pytest

from data_platform.cli.errors import DataProblem
from data_platform.cli.run.accounting import COUNTS, TABLE_COUNTS, FileAccount, TableAccount
from data_platform.cli.run.outcome import RunOutcome
from data_platform.cli.run.report import Report
from data_platform.environment import settings
from data_platform.landing.sorting import Scan


def report(**changes: Any) -> Report:
    """A report of one run that succeeded, with these changes."""
    nothing = {"accounts": [], "tables": [], "headline": None, "compared": {}, "beside": {}, "seconds": 1.0}
    return Report(**{"settings": settings(), "runs": [RunOutcome("1", True)], "left": Scan(), **nothing, **changes})


def test_a_check_that_several_runs_made_counts_once(capsys: pytest.CaptureFixture[str]) -> None:
    both, one = frozenset(("raw/a: deliveries", "raw/a: contract")), frozenset(("raw/a: deliveries",))
    runs = [RunOutcome("1", True, checks=both), RunOutcome("2", True, checks=one, warnings={"raw/a: deliveries": "b"})]
    report(runs=runs).show()
    assert "1 of 2 checks passed" in capsys.readouterr().out


def test_the_summary_says_why_the_tables_hold_fewer_rows_than_were_loaded(capsys: pytest.CaptureFixture[str]) -> None:
    counts = dict.fromkeys((*COUNTS, *TABLE_COUNTS), 0)
    merged = FileAccount("p/a", {**counts, "rows_loaded": 1_020, "rows_read": 1_020}, 1_000, whole=False)
    replaced = TableAccount("d/b", {**counts, "rows_loaded": 500}, 500, whole=True, rows_replaced=490)
    report(runs=[RunOutcome("1", True, rows=2_010)], accounts=[merged], tables=[replaced]).show()
    said = capsys.readouterr().out
    assert "2,010 rows loaded" in said
    assert (
        "The tables hold 1,500 rows: newer files and reads have replaced 490 loaded rows, and 20 were merged into rows"
        " with the same key" in said
    )


def test_a_definition_that_was_left_out_is_a_problem_although_every_run_succeeded() -> None:
    found = report(invalid=["dbt can't parse dbt_project:\nno source"])
    with pytest.raises(
        DataProblem, match="A definition is invalid and was left out: dbt can't parse dbt_project: no source"
    ):
        found.raise_problems()


def test_without_a_pending_file_the_summary_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    report(runs=[]).show()
    assert "Nothing to do: no file of the selected feeds and days is pending" in capsys.readouterr().out


def merged(in_table: int, expected: int | None, loaded: int = 10) -> list[str]:
    """What is wrong with a merged table."""
    counts = {**dict.fromkeys(COUNTS, 0), "rows_loaded": loaded, "rows_read": loaded}
    return FileAccount("p/a", counts, in_table, whole=False, expected=expected).problems


def test_a_merged_table_that_lost_or_gained_a_row_is_told_exactly() -> None:
    assert merged(8, 8) == []
    assert merged(7, 8) == [
        "p/a: the ledger expects 8 rows, and the table has 7. `data-platform run --reload --select raw/p/a` loads them"
        " again, from the lake. If they differ then, `data-platform feed re-extract p/a` rebuilds the table"
    ]
    assert merged(9, 8) == [
        "p/a: the ledger expects 8 rows, and the table has 9. `data-platform feed re-extract p/a` rebuilds the table"
    ]


def test_of_a_merged_table_that_an_earlier_release_loaded_only_the_bounds_are_known() -> None:
    assert merged(7, None) == merged(10, None) == []
    assert "expects 10 rows, and the table has 0" in merged(0, None)[0]
    assert "expects 10 rows, and the table has 11" in merged(11, None)[0]
