"""When a refused commit is retried."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from data_platform.code import follow
from data_platform.code.follow import Followed
from data_platform.code.git import Resolved
from data_platform_tests.end_to_end.platform import wait_for

HEAD, GOOD = "a" * 40, "b" * 40
PINNED: Any = SimpleNamespace(
    remote=SimpleNamespace(ref=HEAD, resolve=lambda: Resolved("commit", HEAD)),
    checkouts=SimpleNamespace(check_out=lambda *_: None),
)


@pytest.mark.parametrize("served", [None, GOOD])
def test_a_refused_commit_is_retried_once_as_its_surroundings_may_have_been_wrong(
    served: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AGAIN_SECONDS", "AGAIN_UNSERVED_SECONDS"):
        monkeypatch.setattr(follow, name, 0.2)
    followed = Followed("code", PINNED, lambda _: None, 5.0, served=served)
    followed.look()
    assert (followed.wanted, followed.due) == (HEAD, float("inf")), "a hash pins"
    followed.refuse(HEAD, "the database is down")
    assert followed.wanted is None and followed.due < float("inf")
    wait_for(lambda: followed.wanted == HEAD, 60, "it is wanted again", every=0.02)
    assert followed.due == float("inf")
