"""Which runs `data-platform run --reload` makes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import click
import pytest

from data_platform.cli.run.reloading import reload_runs
from data_platform.cli.run.selection import Days, Wanted
from data_platform.feeds.spec import FeedSpec
from data_platform.warehouse.ledger import InTable
from data_platform_tests.cli.run.test_selection import Location

THERE = {
    "p/a": ["2024-03-01", "2024-03-02", "2024-03-02"],
    "p/b": ["2024-03-02"],
    "p/c": ["2024-03-02"],
    "records/permits": [None, None],
}


def runs(selected: Sequence[str], days: Days = Days()) -> list[Wanted]:  # noqa: B008 - it is a constant
    def there(feed: FeedSpec) -> list[InTable]:
        return [InTable(day, None, feed.load_mode) for day in THERE.get(feed.name, [])]

    location: Any = Location(*selected)
    return reload_runs(location, "as selected", days, there)[0]


def shown(wanted: Sequence[Wanted]) -> list[tuple[str | None, list[str]]]:
    return [(run.partition, [key.to_user_string() for key in run.assets]) for run in wanted]


def test_each_day_that_the_table_has_is_a_run() -> None:
    assert shown(runs(["raw/p/a"])) == [("2024-03-01", ["raw/p/a"]), ("2024-03-02", ["raw/p/a"])]


def test_feeds_with_the_same_days_share_a_run_and_others_have_their_own() -> None:
    made = shown(runs(["raw/p/a", "raw/p/b", "raw/p/c"], Days(first=date(2024, 3, 2))))
    assert made == [("2024-03-02", ["raw/p/a", "raw/p/c"]), ("2024-03-02", ["raw/p/b"])]


def test_a_history_is_loaded_again_by_one_run_whatever_the_days(monkeypatch: pytest.MonkeyPatch) -> None:
    histories = [feed.model_copy(update={"load_mode": "history"}) for feed in Location.feeds]
    monkeypatch.setattr(Location, "feeds", tuple(histories))
    assert shown(runs(["raw/p/a"])) == [("2024-03-02", ["raw/p/a"])]
    assert shown(runs(["raw/p/a"], Days(last=date(2024, 3, 1)))) == [("2024-03-01", ["raw/p/a"])]


def test_days_may_be_limited_on_both_sides() -> None:
    assert shown(runs(["raw/p/a"], Days(date(2024, 3, 1), date(2024, 3, 1)))) == [("2024-03-01", ["raw/p/a"])]
    assert runs(["raw/p/a"], Days(last=date(2024, 2, 1))) == []


def test_a_table_without_days_is_one_run_and_says_reload_to_its_step() -> None:
    (run,) = runs(["raw/records/permits", "lake/records/permits"])
    assert shown([run]) == [(None, ["raw/records/permits"])]
    assert run.config == {"ops": {"records": {"config": {"reload": True}}}}
    with pytest.raises(click.BadParameter, match="records/permits has no days"):
        runs(["raw/records/permits"], Days(first=date(2024, 3, 2)))


def test_a_model_is_not_loaded_from_the_lake() -> None:
    with pytest.raises(click.BadParameter, match="marts/city is none"):
        runs(["raw/p/a", "marts/city"])
