"""No pattern that is accepted takes long on any file name."""

from __future__ import annotations

import pytest

from data_platform.feeds.patterns import SlowPattern, require_fast
from data_platform_tests.landing.test_inbox import feed


@pytest.mark.parametrize(
    "pattern",
    [
        r"f_(?P<day>\d{8})(?:T\d{4})?\.csv(\.gz)?",
        r"[^_]+_[^_]+_[^_]+_[^_]+_[^_]+\.csv",
        r"(?P<region>[a-z]+)_(?P<kind>[a-z]+)_(?P<part>\d+)_of_(?P<total>\d+)_(?P<day>\d{8})\.csv",
        r"(?:report|summary)_.*\.csv",
        r".*report_(?P<day>\d{8}).*",
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
    ],
)
def test_a_pattern_that_a_name_can_make_slow_is_refused(pattern: str) -> None:
    with pytest.raises(SlowPattern):
        require_fast(pattern)
    with pytest.raises(ValueError, match="a file name can make that"):
        feed(pattern=f"(?P<day>\\d{{8}}){pattern}")
