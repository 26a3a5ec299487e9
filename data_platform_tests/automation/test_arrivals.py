"""Files that are due: hours of days that have 23 or 25 of them, gaps, and feeds gone silent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from data_platform.automation.arrivals import LOOK_BACK, arrivals, due_slots
from data_platform.feeds.files import FileFeedSpec
from data_platform_tests.feeds.test_files import rules

HOURLY = rules()
DAILY = rules(expected={"every": "day", "within_minutes": 60})


def name_of(slot: datetime, feed: FileFeedSpec = HOURLY) -> str:
    return f"r_{slot.astimezone(ZoneInfo(feed.time_zone)):%Y%m%dT%H%z}.csv"


def hours_of(day: datetime) -> list[str]:
    begin = DAILY.slot(f"r_{day:%Y%m%d}T00.csv")
    end = DAILY.slot(f"r_{day + timedelta(days=1):%Y%m%d}T00.csv")
    assert begin and end
    return [name_of(slot) for slot in due_slots(HOURLY, begin, end + timedelta(hours=1))]


def test_a_day_has_the_hours_that_its_clocks_have() -> None:
    assert len(hours_of(datetime(2026, 3, 7))) == 24
    assert len(hours_of(datetime(2026, 3, 8))) == 23
    assert len(hours_of(datetime(2026, 11, 1))) == 25


def test_an_hour_is_due_only_when_its_time_has_passed() -> None:
    first = datetime(2026, 3, 7, 12, tzinfo=UTC)
    due = list(due_slots(HOURLY, first, first + timedelta(hours=2, minutes=59)))
    assert due == [first]
    assert len(list(due_slots(HOURLY, first, first + timedelta(hours=3)))) == 2


def test_a_gap_is_named_and_silence_is_told_apart() -> None:
    names = hours_of(datetime(2026, 11, 1))
    missing = names.pop(7)
    found = arrivals(HOURLY, names, datetime(2026, 11, 2, 6, 30, tzinfo=UTC))
    assert [name_of(slot) for gap in found.gaps for slot in gap] == [missing, missing]
    assert (found.missing, found.silent_since) == (1, None)
    later = arrivals(HOURLY, names, datetime(2026, 11, 3, tzinfo=UTC))
    assert later.gaps == found.gaps
    assert later.silent_since == HOURLY.slot(names[-1])


def test_a_day_that_never_came_is_a_gap_once_a_later_one_has_come() -> None:
    names = ["r_20261030T00-0400.csv", "r_20261101T00-0400.csv"]
    found = arrivals(DAILY, names, datetime(2026, 11, 2, 5, 30, tzinfo=UTC))
    assert found.gaps == ((datetime(2026, 10, 31, 4, tzinfo=UTC),) * 2,)


def test_a_name_without_offset_stands_for_both_of_the_hours_that_it_may_mean() -> None:
    plain = rules(expected={"every": "hour", "group": "hour", "format": "%Y%m%dT%H"})
    names = [f"r_20261101T{hour:02}.csv" for hour in range(24)]
    found = arrivals(plain, names, datetime(2026, 11, 2, 6, 30, tzinfo=UTC))
    assert (found.expected, found.missing) == (25, 0)


def test_nothing_is_expected_of_a_feed_that_never_delivered_or_that_ended_long_ago() -> None:
    now = datetime(2026, 11, 2, tzinfo=UTC)
    assert arrivals(HOURLY, [], now).gaps == ()
    old = name_of(now - LOOK_BACK - timedelta(days=1))
    assert arrivals(HOURLY, [old], now).expected == 0


def test_names_that_say_no_hour_are_left_out() -> None:
    now = datetime(2026, 11, 2, tzinfo=UTC)
    assert arrivals(HOURLY, ["notes.txt", "r_20261101T99-0400.csv"], now).expected == 0


@given(
    st.lists(st.integers(0, 24 * 20), unique=True, min_size=1, max_size=60),
    st.integers(24 * 21, 24 * 30),  # when the last that came was due, with all before it
)
def test_what_came_and_what_is_missing_make_up_what_was_due(hours: list[int], now_hour: int) -> None:
    first = datetime(2026, 10, 20, tzinfo=UTC)
    came = [first + timedelta(hours=hour) for hour in hours]
    found = arrivals(HOURLY, [name_of(slot) for slot in came], first + timedelta(hours=now_hour))
    span = round((max(came) - min(came)) / timedelta(hours=1)) + 1
    assert found.missing == span - len(came)
    assert all(first <= last for first, last in found.gaps)
    assert not {slot for gap in found.gaps for slot in gap} & set(came)
