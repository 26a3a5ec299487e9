"""Commits on disk: whole or not there, never changed, kept while someone uses them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from data_platform.code.checkouts import Checkouts, held
from data_platform.code.git import GitFailed, RefMissing, Remote
from data_platform_tests.code.origin import Origin

_CHECK_OUT = """
import sys
from pathlib import Path
from data_platform.code.checkouts import Checkouts
from data_platform.code.git import Remote
print("ready", flush=True)
Checkouts(Path(sys.argv[1]), Remote(sys.argv[2], "main")).check_out(sys.argv[3])
"""


def checkouts(origin: Origin, root: Path) -> Checkouts:
    return Checkouts(root, Remote(str(origin.bare), "main"))


def test_each_commit_has_a_folder_of_its_own(origin: Origin, tmp_path: Path) -> None:
    first = origin.push({"a": "1", "folder/b": "same"})
    second = origin.push({"a": "2"})
    kept = checkouts(origin, tmp_path / "code")
    assert (kept.check_out(second) / "a").read_text() == "2"
    assert (kept.check_out(first) / "a").read_text() == "1"
    assert sorted(path.name for path in kept.folder(first).iterdir()) == ["a", "folder"]
    assert kept.check_out(first) == kept.folder(first)


def test_a_second_look_asks_nobody(origin: Origin, tmp_path: Path) -> None:
    commit = origin.push({"a": "1"})
    kept = checkouts(origin, tmp_path / "code")
    kept.check_out(commit)
    origin.bare.rename(tmp_path / "gone")
    assert (kept.check_out(commit) / "a").read_text() == "1"


def test_a_commit_that_the_remote_has_not_is_said_to_be_missing(origin: Origin, tmp_path: Path) -> None:
    origin.push({"a": "1"})
    with pytest.raises(RefMissing, match="git fetch"):
        checkouts(origin, tmp_path / "code").check_out("0" * 39 + "1")


def test_killed_anywhere_the_next_one_finds_a_whole_commit_or_none(origin: Origin, tmp_path: Path) -> None:
    files = {f"models/{number}.sql": f"select {number}\n" * 50 for number in range(1000)}
    commit = origin.push(files)
    for delay in (0.0, 0.02, 0.04, 0.08, 0.16):
        root = tmp_path / f"code {delay}"
        command = [sys.executable, "-c", _CHECK_OUT, str(root), str(origin.bare), commit]
        with subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE) as child:
            assert child.stdout and child.stdout.readline() == b"ready\n"
            time.sleep(delay)
            os.kill(child.pid, signal.SIGKILL)
        kept = checkouts(origin, root)
        if kept.has(commit):
            assert len(list((kept.folder(commit) / "models").iterdir())) == 1000
        assert len(list((kept.check_out(commit) / "models").iterdir())) == 1000
        assert not list(root.rglob(".new-*"))


def test_a_damaged_mirror_is_made_anew(origin: Origin, tmp_path: Path) -> None:
    first = origin.push({"a": "1", "b": "1"})
    kept = checkouts(origin, tmp_path / "code")
    kept.check_out(first)
    second = origin.push({"a": "2"})
    mirror = next((tmp_path / "code").glob("*/mirror.git"))
    blob = subprocess.run(
        ["git", "rev-parse", "HEAD:b"], cwd=origin.clone, capture_output=True, text=True, check=True
    ).stdout.strip()
    for pack in mirror.rglob("*.pack"):
        subprocess.run(["git", "unpack-objects", "-q"], stdin=pack.open("rb"), cwd=mirror, check=False)
        pack.chmod(0o600)
        moved = pack.with_suffix(".idx")
        pack.unlink()
        moved.unlink(missing_ok=True)
    loose = mirror / "objects" / blob[:2] / blob[2:]
    if loose.exists():
        loose.unlink()
    assert (kept.check_out(second) / "b").read_text() == "1"


@pytest.mark.parametrize(
    ("emptied", "left"),
    [("HEAD", b""), ("refs/served/latest", b""), ("config", b"[core\n\tbare"), ("objects/pack/*.pack", b"")],
)
def test_a_mirror_whose_file_a_crash_of_the_host_has_torn_is_made_anew(
    origin: Origin, tmp_path: Path, emptied: str, left: bytes
) -> None:
    kept = checkouts(origin, tmp_path / "code")
    kept.check_out(origin.push({"a": "1", "b": "1"}))
    second = origin.push({"a": "2"})
    (mirror,) = (tmp_path / "code").glob("*/mirror.git")
    for torn in mirror.glob(emptied):
        torn.chmod(0o600)
        torn.write_bytes(left)
    assert [(kept.check_out(second) / name).read_text() for name in ("a", "b")] == ["2", "1"]


def test_a_lock_that_a_killed_git_left_stands_in_nobodys_way(origin: Origin, tmp_path: Path) -> None:
    kept = checkouts(origin, tmp_path / "code")
    kept.check_out(origin.push({"a": "1"}))
    (next((tmp_path / "code").glob("*/mirror.git")) / "shallow.lock").touch()
    assert kept.check_out(origin.push({"a": "2"})).exists()


def test_many_at_once_make_one(origin: Origin, tmp_path: Path) -> None:
    commit = origin.push({"a": "1"})
    kept = checkouts(origin, tmp_path / "code")
    with ThreadPoolExecutor(6) as pool:
        assert set(pool.map(kept.check_out, [commit] * 6)) == {kept.folder(commit)}


def test_a_commit_in_use_is_kept_and_an_old_one_goes(origin: Origin, tmp_path: Path) -> None:
    kept = checkouts(origin, tmp_path / "code")
    used, unused, served = (origin.push({"a": text}) for text in "123")
    for commit in (used, unused, served):
        kept.check_out(commit)
    with held(kept, used):
        assert kept.prune({served}, older_than=0.0) == [unused]
        assert kept.has(used)
        assert kept.has(served)
    assert kept.prune({served}, older_than=60.0) == []
    assert kept.prune({served}, older_than=0.0) == [used]
    assert (kept.check_out(used) / "a").read_text() == "1"


def test_a_hold_outlives_the_exec_of_another_program(origin: Origin, tmp_path: Path) -> None:
    kept = checkouts(origin, tmp_path / "code")
    commit = origin.push({"a": "1"})
    kept.check_out(commit)
    descriptor = kept.hold(commit)
    program = subprocess.Popen(["sleep", "60"], pass_fds=[descriptor])
    os.close(descriptor)
    try:
        assert kept.prune(set(), older_than=0.0) == []
    finally:
        program.kill()
        program.wait()
    assert kept.prune(set(), older_than=0.0) == [commit]


def test_a_remote_that_is_down_leaves_no_half_of_anything(origin: Origin, tmp_path: Path) -> None:
    commit = origin.push({"a": "1"})
    origin.bare.rename(tmp_path / "gone")
    with pytest.raises(GitFailed):
        checkouts(origin, tmp_path / "code").check_out(commit)
    (tmp_path / "gone").rename(origin.bare)
    assert checkouts(origin, tmp_path / "code").check_out(commit).exists()
