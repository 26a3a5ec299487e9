"""Scanning inbound: what is ready, what waits, what no feed takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from data_platform.feeds.files import FileFeedSpec
from data_platform.landing import sorting
from data_platform.landing.bucket import LandingBucket, Pending
from data_platform.landing.feed_index import FeedIndex
from data_platform.landing.inbox import pending_of, scan
from data_platform.landing.sorting import Scan
from data_platform_tests.feeds.test_files import CONTRACT

NOW = datetime(2026, 3, 7, 12, tzinfo=UTC)


class Objects:
    """Stands for a bucket: pages of pending objects in key order, as S3 lists them."""

    def __init__(self, names: dict[str, float], page_size: int = 1000) -> None:
        self.objects = [
            Pending(key, f'"{key}"', 10, NOW - timedelta(seconds=age)) for key, age in sorted(names.items())
        ]
        self.page_size = page_size
        self.pages_read = 0

    def pages(self, *, start_after: str | None = None, prefix: str = "inbound/") -> Iterator[list[Pending]]:
        left = [o for o in self.objects if o.key.startswith(prefix) and o.key > (start_after or "")]
        for start in range(0, len(left), self.page_size):
            self.pages_read += 1
            yield left[start : start + self.page_size]

    def exists(self, key: str) -> bool:
        return any(o.key == key for o in self.objects)


def feed(name: str = "f", **changes: Any) -> FileFeedSpec:
    base = {"source": "p", "table": name, "pattern": rf"{name}_(?P<day>\d{{8}})\.csv", "contract": CONTRACT}
    return FileFeedSpec.of({**base, "partition": {"start": "2026-01-01"}, **changes})


def look(objects: Objects, *feeds: FileFeedSpec, **options: Any) -> Scan:
    return scan(cast(LandingBucket, objects), FeedIndex(feeds or (feed(),)), now=NOW, **options)


def names(items: list[Any]) -> list[str]:
    return [getattr(item, "pending", item).file_name for item in items]


def test_a_file_is_ready_when_it_has_settled() -> None:
    found = look(Objects({"inbound/p/f_20260307.csv": 11, "inbound/p/f_20260306.csv": 9}))
    assert names(found.ready) == ["f_20260307.csv"]
    assert names(found.waiting) == ["f_20260306.csv"]
    assert found.ready[0].partition == "2026-03-07"


@pytest.mark.parametrize("page_size", [1, 1000])
def test_a_file_with_a_manifest_waits_for_it_however_pages_fall(page_size: int) -> None:
    rules = feed(readiness={"manifest": "{stem}.manifest.json"})
    both = {"inbound/p/f_20260307.csv": 0.0, "inbound/p/f_20260307.manifest.json": 0, "inbound/p/f_20260306.csv": 99}
    found = look(Objects(both, page_size), rules)
    assert names(found.ready) == ["f_20260307.csv"]
    assert found.ready[0].companion == "inbound/p/f_20260307.manifest.json"
    assert set(names(found.waiting)) == {"f_20260306.csv", "f_20260307.manifest.json"}
    assert not found.unmatched


def test_a_manifest_that_the_listing_would_have_shown_is_not_looked_up_one_by_one() -> None:
    rules = feed(readiness={"manifest": "{name}.manifest.json"})
    objects = Objects({f"inbound/p/f_202603{day:02}.csv": 99 for day in range(1, 8)})
    looked_up: list[str] = []
    found = look(objects, rules, exists=lambda key: bool(looked_up.append(key)))
    assert len(found.waiting) == 7
    assert looked_up == ["inbound/p/f_20260307.csv.manifest.json"], "the only one beyond the page's last key"


def test_what_no_feed_takes_is_told_with_the_reason() -> None:
    found = look(Objects({"inbound/p/other.txt": 99, "inbound/q/f_20260307.csv": 99, "inbound/p/f_20261399.csv": 99}))
    assert {pending.key for pending, _ in found.unmatched} == {
        "inbound/p/other.txt",
        "inbound/q/f_20260307.csv",
        "inbound/p/f_20261399.csv",
    }
    assert not found.ready
    reasons = {pending.key.split("/", 1)[1]: reason for pending, reason in found.unmatched}
    assert reasons["p/other.txt"] == "it matches no pattern of p's feeds"
    assert reasons["q/f_20260307.csv"] == "q is not a partner, or has no feeds yet"
    assert "'20261399' is not a date in the format %Y%m%d" in reasons["p/f_20261399.csv"]


def test_a_file_of_a_day_that_has_not_begun_is_told_and_taken_when_it_has() -> None:
    night = datetime(2026, 3, 8, 3, tzinfo=UTC)  # still the 7th in New York
    rules = feed(time_zone="America/New_York")
    objects = cast(LandingBucket, Objects({"inbound/p/f_20260308.csv": 99}))
    early = scan(objects, FeedIndex([rules]), now=night)
    assert "has not begun" in early.unmatched[0][1]
    assert not early.ready
    assert scan(objects, FeedIndex([rules]), now=night + timedelta(hours=2)).ready


def test_a_name_without_the_day_that_its_pattern_allows_for_is_told() -> None:
    found = look(Objects({"inbound/p/f.csv": 99}), feed(pattern=r"f(?:_(?P<day>\d{8}))?\.csv"))
    assert "names no day" in found.unmatched[0][1]


def test_two_feeds_that_want_the_same_file_get_neither() -> None:
    found = look(Objects({"inbound/p/f_20260307.csv": 99}), feed(), feed("g", pattern=r"f_(?P<day>\d{8})\.csv"))
    assert "p/f, p/g" in found.unmatched[0][1]


@pytest.mark.parametrize("pattern", [r"f_(?P<day>\d{8})\.csv", r".*f_(?P<day>\d{8}).*"])
@pytest.mark.parametrize(
    "name",
    ["f_20260307.csv.part", "f_20260307.csv.FILEPART", ".f_20260307.csv", "f_20260307.csv~", ".rsync/f_20260307.csv"],
)
def test_an_upload_under_way_is_left_alone_whatever_the_pattern(name: str, pattern: str) -> None:
    found = look(Objects({f"inbound/p/{name}": 99}), feed(pattern=pattern))
    assert (names(found.waiting), found.ready) == ([name], [])


def test_a_scan_stops_at_its_limit_and_the_next_goes_on_where_it_stopped() -> None:
    objects = Objects({f"inbound/p/f_2026{month:02}{day:02}.csv": 99 for month in (1, 2) for day in range(1, 29)}, 10)
    seen: list[str] = []
    resume: str | None = None
    for _ in range(10):
        found = look(objects, start_after=resume, limit=10)
        seen += names(found.ready)
        resume = found.resume_after
        if resume is None:
            break
    assert len(seen) == len(set(seen)) == 56


def test_a_scan_stops_at_its_deadline() -> None:
    objects = Objects({f"inbound/p/x_{number:04}": 99 for number in range(100)}, 10)
    found = look(objects, seconds=0)
    assert objects.pages_read == 1
    assert found.resume_after is not None


@pytest.mark.parametrize("page_size", [1, 3, 1000])
def test_a_scan_leaves_off_a_partner_with_many_ready_files_and_lists_the_next_one(page_size: int) -> None:
    days = {f"inbound/p/f_2026{month:02}{day:02}.csv": 99.0 for month in (1, 2) for day in range(1, 29)}
    objects = Objects({**days, "inbound/p-q/f_20260101.csv": 99, "inbound/q/f_20260101.csv": 99}, page_size)
    found = look(objects, feed(), feed(source="q"), feed(source="p-q"), limit_a_partner=4)
    assert Counter(item.rules.source for item in found.ready) == {"p-q": 1, "p": 4, "q": 1}
    assert (found.cut, found.left) == ({"p"}, {})
    assert [found.whole(partner) for partner in ("p-q", "p", "q")] == [True, False, True]
    assert page_size == 1000 or objects.pages_read < 20, "it doesn't list what it leaves off"


@pytest.mark.parametrize(("quota", "taken"), [({"files": 2}, 2), ({"gigabytes": 25e-9}, 2), ({"gigabytes": 1e-9}, 1)])
def test_what_lies_beyond_a_quota_waits_and_a_file_larger_than_it_is_taken_alone(
    quota: dict[str, float], taken: int
) -> None:
    objects = Objects({f"inbound/p/f_2026030{day}.csv": 99 for day in range(1, 6)})
    found = look(objects, feed(quota=quota), limit_a_partner=100)
    assert names(found.ready) == [f"f_2026030{day}.csv" for day in range(1, taken + 1)]
    assert found.left["p"].key == f"inbound/p/f_2026030{taken + 1}.csv"
    assert len(look(objects, feed(quota=quota)).ready) == 5, "all are shown"


def test_names_that_take_long_to_match_cost_a_partner_its_turn_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sorting, "_MATCHING_SECONDS", 0.01)
    slow = feed(pattern=r".*_.*_.*(?P<day>\d{8})\.csv")
    hostile = {f"inbound/p/{'_' * 200}{number}": 99.0 for number in range(200)}
    found = look(Objects({**hostile, "inbound/q/f_20260101.csv": 99}), slow, feed(source="q"))
    assert (names(found.ready), found.left["p"].reason) == (["f_20260101.csv"], sorting._SLOW)
    assert len(found.unmatched) < 200


def test_a_name_longer_than_any_pattern_looks_at_is_told() -> None:
    found = look(Objects({f"inbound/p/{'f' * 256}.csv": 99}), feed(pattern=r"f*(?P<day>)\.csv"))
    assert "longer than 255 characters" in found.unmatched[0][1]


def test_what_is_taken_care_of_is_skipped() -> None:
    objects = Objects({"inbound/p/f_20260307.csv": 99})
    assert not look(objects, skip=lambda pending: True).ready


def test_by_hand_everything_ready_of_a_partition_is_meant() -> None:
    objects = Objects({"inbound/p/f_20260307.csv": 99, "inbound/p/f_20260306.csv": 99})
    ready = pending_of(cast(LandingBucket, objects), [feed()], now=NOW, partition="2026-03-06")
    assert names(ready) == ["f_20260306.csv"]


def test_a_token_tells_uploads_of_the_same_bytes_apart() -> None:
    first = Pending("inbound/p/a", '"x"', 1, NOW)
    again = Pending("inbound/p/a", '"x"', 1, NOW + timedelta(seconds=1))
    assert first.token != again.token
