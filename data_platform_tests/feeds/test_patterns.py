"""No pattern that is accepted takes long on any file name."""

from __future__ import annotations

import re
import time

import pytest

from data_platform.feeds.patterns import LONGEST_NAME, SlowPattern, require_fast
from data_platform_tests.landing.test_inbox import feed


@pytest.mark.parametrize(
    "pattern",
    [
        r"f_(?P<day>\d{8})(?:T\d{4})?\.csv(\.gz)?",
        r"[^_]+_[^_]+_[^_]+_[^_]+_[^_]+\.csv",
        r"(?P<region>[a-z]+)_(?P<kind>[a-z]+)_(?P<part>\d+)_of_(?P<total>\d+)_(?P<day>\d{8})\.csv",
        r"(?:report|summary)_.*\.csv",
        r".*report_(?P<day>\d{8}).*",
        r".*_(?P<day>\d{8})(?:_v\d)?.*(?:\.csv|\.txt)(?:\.gz)?",
        r"(?:north|south|east|west)_(?:daily|hourly)(?:_\d)?(?:_resend)?.*\.(?:csv|json|txt)(?:\.gz|\.zip)?",
        r"(\d{2}_)+x",
        r"(_\d{2,4}){1,3}\.csv",
    ],
)
def test_usual_patterns_are_accepted(pattern: str) -> None:
    require_fast(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        r"(a+)+\.csv",
        r"(a|aa)*b",
        r"(?:\w+_)+x",
        r"(x+x+)+y",
        r"([a-z]{1,50}){1,50}x",
        r"(a?){30}a{30}",
        r"(?=(a+)+b)x",
        r".*_.*_.*_.*\.csv",
        r"(.*)(.*)(.*)(.*)x",
        r"\w+_\w+_\w+_\w+_\w+\.csv",
        r"(?:a?){4}(?:.*){3}b",
        r"a{0,4}a{0,4}a{0,4}a{0,4}.*.*b",
        "a?" * 30 + "b",
        r"(?:a|aa)(?:a|aa)(?:a|aa)(?:a|aa).*.*.*b",
    ],
)
def test_a_pattern_that_a_name_can_make_slow_is_refused(pattern: str) -> None:
    with pytest.raises(SlowPattern):
        require_fast(pattern)
    with pytest.raises(ValueError, match=r"a file name can make that|can match one file name in too many ways"):
        feed(pattern=f"(?P<day>\\d{{8}}){pattern}")


@pytest.mark.parametrize(
    "pattern",
    [r"(.*)(.*)(.*)\.csv", r"a?a?.*.*.*b", r"(?:a|a)(?:a|a).*.*.*b", r"a{0,4}a{0,4}a{0,4}.*.*b", "a?" * 22 + "b"],
)
def test_the_slowest_accepted_patterns_take_about_a_second(pattern: str) -> None:
    require_fast(pattern)
    began = time.process_time()
    assert re.fullmatch(pattern, "a" * LONGEST_NAME) is None
    assert time.process_time() - began < 5, "0.1 to 0.5 s on an idle machine"
