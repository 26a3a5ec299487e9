"""The declarations of the demo's partners."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_platform.feeds.files import FileFeedSpec
from data_platform.local_cloud.demo.drop import PART
from data_platform.local_cloud.demo.key import AnswerKey


def test_every_feed_is_valid(feeds: dict[str, FileFeedSpec]) -> None:
    assert sorted(feeds) == [
        "clear_air/air_quality",
        "clear_air/stations",
        "harbor_water/meter_readings",
        "meridian_parking/parking_sessions",
    ]


def test_every_column_and_feed_is_described(feeds: dict[str, FileFeedSpec]) -> None:
    for rules in feeds.values():
        assert all(column.description for column in rules.contract.columns), rules.name


def test_a_file_belongs_to_the_feed_and_day_that_the_key_says(
    feeds: dict[str, FileFeedSpec], demo: tuple[Path, AnswerKey]
) -> None:
    for drop in demo[1].drops:
        own = [rules for rules in feeds.values() if rules.source == drop.partner]
        matching = [rules for rules in own if rules.matches(drop.file_name)]
        if drop.feed is not None:
            assert [rules.name for rules in matching] == [drop.feed], drop.file_name
            assert matching[0].partition_key(drop.file_name) == drop.partition
        for rules in matching if drop.feed is None else ():
            with pytest.raises(ValueError):
                rules.partition_key(drop.file_name)


def test_no_feed_takes_a_file_that_is_still_being_sent_or_a_manifest(
    feeds: dict[str, FileFeedSpec], demo: tuple[Path, AnswerKey]
) -> None:
    for drop in demo[1].drops:
        names = [drop.file_name + PART, *([Path(drop.companion).name] if drop.companion else [])]
        assert not any(rules.matches(name) for rules in feeds.values() for name in names)


def test_a_manifest_is_the_companion_that_its_feed_waits_for(
    feeds: dict[str, FileFeedSpec], demo: tuple[Path, AnswerKey]
) -> None:
    for drop in demo[1].drops:
        if drop.feed is not None and drop.planted != "pending":
            expected = feeds[drop.feed].readiness.companion(drop.file_name)
            assert (Path(drop.companion).name if drop.companion else None) == expected
