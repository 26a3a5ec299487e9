"""Who is at work with a state folder is known by locks."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_platform.runs import run_lock
from data_platform.runs.at_work import DevAtWork, dev_at_work, dev_claim, runs_at_work


def test_a_second_dev_is_refused_with_the_address_of_the_first(tmp_path: Path) -> None:
    assert dev_at_work(tmp_path) is None
    with dev_claim(tmp_path) as claim:
        claim.write("http://127.0.0.1:3000")
        claim.flush()
        assert dev_at_work(tmp_path) == "http://127.0.0.1:3000"
        with pytest.raises(DevAtWork, match=r"already running here: http://127\.0\.0\.1:3000"), dev_claim(tmp_path):
            pass
    assert dev_at_work(tmp_path) is None
    with dev_claim(tmp_path):
        assert dev_at_work(tmp_path) == "it is just starting"


def test_runs_at_work_hold_their_locks(tmp_path: Path) -> None:
    folder = run_lock.folder_in(tmp_path)
    assert runs_at_work(tmp_path) == []
    with run_lock.held(folder, "alive"):
        (folder / "killed.lock").touch()
        assert runs_at_work(tmp_path) == ["alive"]
