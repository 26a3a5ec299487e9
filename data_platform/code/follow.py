"""Follows a ref: a branch's head, or the commit that a tag or a hash pins. Asks the remote, decides when to ask again,
and remembers a refused head. `server` decides what to do with a new one."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from data_platform.code.git import GitFailed, Resolved
from data_platform.code.prepare import Repository

TAG_SECONDS = 300.0
"""How often to look at a pinned tag, only to warn when it was moved."""
LONGEST_PAUSE = 60.0
AGAIN_SECONDS, AGAIN_UNSERVED_SECONDS = 900.0, 30.0
"""When to retry a refused commit, as the cause may have been outside of it (the database was down); the second while
nothing is served."""


@dataclass
class Followed:
    """One repository's ref. `served` is the commit of the current backend, `head` the newest commit to serve, `refused`
    a head that was refused, and why."""

    name: str
    repository: Repository
    log: Callable[[str], None]
    poll: float
    served: str | None = None
    kind: str | None = None
    head: str | None = None
    refused: dict[str, Any] | None = None
    unreachable: str | None = None
    warning: str | None = None
    _due: float = field(default=0.0, repr=False)
    _failures: int = field(default=0, repr=False)
    _again: float = field(default=0.0, repr=False)

    @property
    def due(self) -> float:
        """When to look again, on the monotonic clock; 0 at first."""
        return min(self._due, self._again) if self.refused and self._again > time.monotonic() else self._due

    @property
    def wanted(self) -> str | None:
        """A commit to serve that isn't served yet."""
        waits = self.refused is not None and time.monotonic() < self._again
        refused = self.refused["commit"] if self.refused is not None and waits else None
        return self.head if self.head not in (None, self.served, refused) else None

    def look(self) -> None:
        """Asks the remote for the ref's commit, and fetches it. Retries an unreachable remote with growing pauses;
        meanwhile the served commit stays."""
        remote = self.repository.remote
        try:
            found = remote.resolve()
            ref = {"branch": f"refs/heads/{remote.ref}", "tag": f"refs/tags/{remote.ref}"}.get(found.kind)
            commit = self._followed(found)
            if commit not in (self.head, self.served):
                self.repository.checkouts.check_out(commit, ref)
        except (GitFailed, OSError) as error:  # OSError: a full disk
            if self.unreachable is None or self._failures % 20 == 0:
                keeps = f"{self.served[:12]} stays served" if self.served else "nothing is served yet"
                self.log(f"{self.name}: {error}\n  ({keeps}; retrying with growing pauses)")
            self.unreachable = str(error)
            self._failures += 1
            self._due = time.monotonic() + min(max(self.poll, 1.0) * 2 ** min(self._failures - 1, 10), LONGEST_PAUSE)
            return
        if self.unreachable is not None:
            self.log(f"{self.name}: {remote.url} answers again")
        self.unreachable, self._failures = None, 0
        if commit != self.head:
            self.log(f"{self.name}: {found.kind} {remote.ref} is {commit[:12]}")
            self.refused = None  # the ref moved
        self.head, self.kind = commit, found.kind
        pause = {"branch": self.poll, "tag": TAG_SECONDS, "commit": float("inf")}[found.kind]
        self._due = time.monotonic() + pause

    def refuse(self, commit: str, why: str) -> None:
        """Refuses the commit for some minutes, unless the ref moves."""
        self._again = time.monotonic() + (AGAIN_SECONDS if self.served else AGAIN_UNSERVED_SECONDS)
        self.refused = {"commit": commit, "why": why, "at": now()}
        keeps = f"{self.served[:12]} stays served" if self.served else "nothing is served"
        self.log(f"{self.name}: commit {commit} is refused, and {keeps}: {why}")

    def state(self) -> dict[str, Any]:
        """The state for operators, without secrets."""
        remote = self.repository.remote
        known = {"url": remote.url, "ref": remote.ref, "kind": self.kind, "served": self.served, "head": self.head}
        return known | {"refused": self.refused, "unreachable": self.unreachable, "warning": self.warning}

    def _followed(self, found: Resolved) -> str:
        if found.kind != "tag" or self.served is None or found.commit == self.served or self.kind != "tag":
            return found.commit
        text = (
            f"tag {self.repository.remote.ref} was moved to {found.commit[:12]}; {self.served[:12]} stays served, as a"
            " tag pins. Serve a new tag to follow"
        )
        if text != self.warning:
            self.log(f"{self.name}: warning: {text}")
            self.warning = text
        return self.served


def now() -> str:
    """This moment, in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")
