"""What the platform must point out in the demo although it is loaded, or because it never came."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from data_platform.automation.arrivals import arrivals
from data_platform.feeds.files import FileFeedSpec
from data_platform.local_cloud.demo.key import MIN_VOLUME, AnswerKey


@pytest.mark.parametrize("now", [datetime(2026, 3, 10, 12, tzinfo=UTC), datetime(2026, 11, 3, 12, tzinfo=UTC)])
def test_the_files_that_never_come_are_missed(
    feeds: dict[str, FileFeedSpec], demo: tuple[Path, AnswerKey], now: datetime
) -> None:
    key = demo[1]
    for rules in feeds.values():
        if rules.expected is not None:
            names = [drop.file_name for drop in key.drops if drop.feed == rules.name and drop.planted != "pending"]
            came = [name for name in names if (slot := rules.slot(name)) is not None and slot < now]
            missed = {when for feed, when in key.missed.items() if feed == rules.name and when < now}
            gaps = arrivals(rules, came, now).gaps
            assert {first for first, last in gaps if first == last} == missed, rules.name
            # Besides, nothing comes between the demo's days in March and those in autumn.
            assert len(gaps) == len(missed) + (now.month == 11), rules.name


def test_small_is_what_the_feeds_call_small(feeds: dict[str, FileFeedSpec]) -> None:
    assert {rules.min_volume for rules in feeds.values()} == {MIN_VOLUME}
