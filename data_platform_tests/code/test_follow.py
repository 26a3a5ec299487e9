"""When a refused commit is tried again."""

from __future__ import annotations

from typing import Any, cast

import pytest

from data_platform.code import follow
from data_platform.code.follow import AGAIN_SECONDS, AGAIN_UNSERVED_SECONDS, Followed

HEAD, GOOD = "a" * 40, "b" * 40


@pytest.mark.parametrize(("served", "pause"), [(None, AGAIN_UNSERVED_SECONDS), (GOOD, AGAIN_SECONDS)])
def test_what_was_refused_is_tried_again_as_its_surroundings_may_have_been_wrong(
    served: str | None, pause: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    monkeypatch.setattr(follow.time, "monotonic", lambda: clock[0])
    followed = Followed("code", cast(Any, None), lambda _: None, 5.0, served=served, head=HEAD, _due=float("inf"))
    assert followed.wanted == HEAD
    followed.refuse(HEAD, "the database is down")
    assert followed.wanted is None
    assert followed.due == clock[0] + pause, "also where a tag or a hash pins"
    clock[0] += pause
    assert followed.wanted == HEAD
    assert followed.due == float("inf"), "no hurry, whatever comes of it"
