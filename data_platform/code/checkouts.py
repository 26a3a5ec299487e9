"""Commits of one repository on this machine's disk: a bare mirror, and a read-only folder per commit. Imports only the
standard library.

    <root>/mirror.git        the fetched objects; recreated when damaged
    <root>/commits/<hash>/   the commit's files; always complete, as a rename creates it
    <root>/locks/<hash>      locked by every process that uses the commit, so that it is not pruned
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from data_platform.code.git import FETCH_SECONDS, GitFailed, RefMissing, Remote

KEEP_SECONDS = 24 * 3600.0
"""How long an unused commit is kept: going back to it needs no fetch."""


_DAMAGE = (
    *("missing blob", "missing tree", "bad object", "corrupt", "did not send all", "unable to read", "packfile"),
    *("not a git repository", "reference broken", "bad config"),  # a crash of the host leaves empty files
)


class _MirrorDamaged(GitFailed):
    """The mirror has the commit, but not all of its files: git was killed, or the disk was full."""


class Checkouts:
    """The commits of a repository below `root`."""

    def __init__(self, root: Path, remote: Remote) -> None:
        self._remote = remote
        # Another URL is another repository: its commits go to another folder.
        self._root = root / hashlib.sha256(remote.url.encode()).hexdigest()[:12]
        self._commits = self._root / "commits"
        self._locks = self._root / "locks"
        self._mirror = self._root / "mirror.git"

    def folder(self, commit: str) -> Path:
        """The folder of a commit's files, whether it exists or not."""
        return self._commits / commit

    def has(self, commit: str) -> bool:
        """Whether the commit is checked out."""
        return self.folder(commit).is_dir()

    def hold(self, commit: str) -> int:
        """Returns a descriptor that keeps the commit from being pruned while any process has it open. It is
        inheritable, so it survives an exec."""
        self._locks.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._locks / commit, os.O_RDWR | os.O_CREAT, 0o644)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        os.utime(descriptor)
        os.set_inheritable(descriptor, True)
        return descriptor

    def check_out(self, commit: str, ref: str | None = None) -> Path:
        """Fetches the commit if it isn't checked out yet, and returns its folder; `hold` it first. `ref` is the full
        ref that the commit is the head of, for servers that don't serve a commit by its hash. Raises GitFailed."""
        if self.has(commit):
            return self.folder(commit)
        with self._alone() as lock:
            self._clear_unfinished()
            if self.has(commit):  # while this waited for another
                return self.folder(commit)
            try:
                self._fetch(commit, ref, lock)
                return self._put(commit, lock)
            except _MirrorDamaged:
                shutil.rmtree(self._mirror)
            self._fetch(commit, ref, lock)
            return self._put(commit, lock)

    def before(self, commit: str, count: int) -> list[str]:
        """The first parents of a commit, the nearest first, at most `count`. Raises GitFailed."""
        with self._alone() as lock:
            self._bring(commit, lock, depth=count + 1)
            history = ["rev-list", "--first-parent", "--skip=1", f"--max-count={count}", commit]
            return self._remote.run(["--git-dir", str(self._mirror), *history]).split()

    def prune(self, keep: Collection[str], older_than: float = KEEP_SECONDS) -> list[str]:
        """Removes and returns the commits that no process holds, that are not in `keep`, and that were last held more
        than `older_than` seconds ago."""
        pruned = []
        self._locks.mkdir(parents=True, exist_ok=True)
        for folder in sorted(self._commits.glob("[0-9a-f]*")):
            if folder.name in keep:
                continue
            descriptor = os.open(self._locks / folder.name, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if time.time() - os.fstat(descriptor).st_mtime > older_than:
                    gone = self._commits / f".gone-{folder.name}"
                    folder.rename(gone)  # nobody finds half of it
                    shutil.rmtree(gone, ignore_errors=True)
                    pruned.append(folder.name)
            except OSError:  # in use
                pass
            finally:
                os.close(descriptor)
        return pruned

    def _fetch(self, commit: str, ref: str | None, lock: int) -> None:
        if not (self._mirror / "HEAD").exists():
            self._init(lock)
        for left in self._mirror.rglob("*.lock"):  # of a git that was killed: this process has the mirror to itself
            left.unlink(missing_ok=True)
        if self._in_mirror(commit):
            return
        try:
            self._bring(commit, lock)
        except RefMissing:  # some servers don't serve a commit by its hash
            if ref is None:
                raise
            self._bring(ref, lock)
        if not self._in_mirror(commit):
            raise GitFailed(
                f"{self._remote.url} did not return commit {commit}: it may have moved the ref, or deleted the commit"
            )

    def _bring(self, wanted: str, lock: int, depth: int = 1) -> None:
        fetch = ["--git-dir", str(self._mirror), "fetch", "--quiet", f"--depth={depth}", "--no-tags", self._remote.url]
        try:
            # By this ref, the next fetch tells the remote what is here already.
            self._remote.run([*fetch, f"+{wanted}:refs/served/latest"], seconds=FETCH_SECONDS, holds=[lock])
        except GitFailed as error:
            if any(sign in str(error) for sign in _DAMAGE):
                raise _MirrorDamaged(str(error)) from error
            raise

    def _init(self, lock: int) -> None:
        self._root.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self._mirror, ignore_errors=True)
        made = tempfile.mkdtemp(prefix=".new-", dir=self._root)
        self._remote.run(["init", "--quiet", "--bare", "--template=", made], holds=[lock])
        Path(made).rename(self._mirror)

    def _in_mirror(self, commit: str) -> bool:
        try:
            self._remote.run(["--git-dir", str(self._mirror), "cat-file", "-e", f"{commit}^{{tree}}"])
        except GitFailed:
            return False
        return True

    def _put(self, commit: str, lock: int) -> Path:
        self._commits.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=".new-", dir=self._commits))
        try:
            at = ["--git-dir", str(self._mirror), "--work-tree", str(made)]
            index = {"GIT_INDEX_FILE": str(made / ".git-index")}
            try:
                self._remote.run([*at, "read-tree", commit], environment=index, holds=[lock])
                write = [*at, "checkout-index", "--all", f"--prefix={made}/"]
                self._remote.run(write, environment=index, seconds=FETCH_SECONDS, holds=[lock])
            except GitFailed as error:
                raise _MirrorDamaged(str(error)) from error
            (made / ".git-index").unlink()
            made.chmod(0o755)
            made.rename(self.folder(commit))
        finally:
            shutil.rmtree(made, ignore_errors=True)
        return self.folder(commit)

    def _clear_unfinished(self) -> None:
        """Removes the leftovers of a process that was killed. Needs the lock."""
        for left in (*self._root.glob(".new-*"), *self._commits.glob(".new-*"), *self._commits.glob(".gone-*")):
            shutil.rmtree(left, ignore_errors=True)

    @contextmanager
    def _alone(self) -> Iterator[int]:
        """Locks the repository, and yields the lock's descriptor. Git inherits it: a git whose parent was killed ends
        before another begins."""
        self._root.mkdir(parents=True, exist_ok=True)
        with (self._root / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file.fileno()


@contextmanager
def held(checkouts: Checkouts, commit: str) -> Iterator[int]:
    """Holds a commit within the block."""
    descriptor = checkouts.hold(commit)
    try:
        yield descriptor
    finally:
        with contextlib.suppress(OSError):
            os.close(descriptor)
