"""What a run says at its end."""

from __future__ import annotations

import pytest

from data_platform.cli.errors import DataProblem
from data_platform.cli.run.outcome import RunOutcome
from data_platform.cli.run.report import Report
from data_platform.environment import settings
from data_platform.landing.inbox import Scan


def test_a_definition_that_was_left_out_is_a_problem_although_every_run_succeeded() -> None:
    report = Report(
        settings=settings(),
        runs=[RunOutcome("1", True)],
        left=Scan(),
        accounts=[],
        tables=[],
        headline=None,
        compared={},
        beside={},
        seconds=1.0,
        invalid=["dbt can't parse dbt_project:\nno source"],
    )
    with pytest.raises(
        DataProblem, match="A definition is invalid and was left out: dbt can't parse dbt_project: no source"
    ):
        report.raise_problems()
