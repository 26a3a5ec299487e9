"""The code server: follows refs, prepares new commits, and switches the public port to the good ones. Remembers the
served commits on disk, for a start while the remote is down or its head is bad."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from data_platform.code.backend import Backend
from data_platform.code.backends import Backends
from data_platform.code.checkouts import KEEP_SECONDS
from data_platform.code.files import LOOK_SECONDS, Files
from data_platform.code.follow import Followed, now
from data_platform.code.git import GitFailed, Remote, scrub
from data_platform.code.memory import Memory
from data_platform.code.prepare import Preparation, Repository
from data_platform.code.proxy import Proxy
from data_platform.code.release import Release
from data_platform.code.tree import INSTALLED, TreeUnusable, checkouts_root
from data_platform.code.webhook import Webhook

STOP_SECONDS = 10.0
CALLS_SECONDS = 30.0
"""How long to wait for calls in progress at the end."""
SHOWN = 5
EARLIER = 5
"""How many commits before a bad head to try while nothing is served."""
_MACHINE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN)
"""Errors of the machine, not of a commit."""


@dataclass(frozen=True)
class Wanted:
    """What to serve and where. Backends inherit `environment`, except the secrets that they don't need. `dagster`:
    Dagster's command. `code` None: the installed code; with `files`, served anew when its files change. `poll` in
    seconds."""

    environment: Mapping[str, str]
    dagster: Sequence[str]
    code: Remote | None = None
    dbt: Remote | None = None
    files: bool = False
    host: str = "127.0.0.1"
    port: int = 4000
    poll: float = 5.0
    webhook_host: str = "127.0.0.1"
    webhook_port: int | None = None
    webhook_secret: str | None = None


def sockets_folder(environment: Mapping[str, str]) -> Path:
    """Where code servers with this state folder have their sockets: below /tmp, as a socket's path may have 107 bytes
    at most."""
    name = hashlib.sha256(str(checkouts_root(environment)).encode()).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"dp-{os.getuid()}-{name}"


class CodeServer:
    """Serves code to Dagster until a signal ends it: see `run`."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        tokens = [remote.token for remote in (wanted.code, wanted.dbt) if remote]
        self._secrets = [one for one in (*tokens, wanted.webhook_secret) if one]
        self._root = checkouts_root(wanted.environment)
        self._awake = threading.Event()
        self._files = Files(INSTALLED) if wanted.files else None
        self._files_refused = False
        self._since: str | None = None
        self._code = code = self._followed("code", wanted.code)
        self._dbt = dbt = self._followed("dbt", wanted.dbt)
        self._memory = Memory(self._root, self._sources())
        self._sockets = sockets_folder(wanted.environment)
        self._preparation = Preparation(
            code.repository if code else None,
            dbt.repository if dbt else None,
            wanted.environment,
            self._sockets,
            wanted.dagster,
            self.log,
            check_installed=wanted.files,
        )
        self._proxy = Proxy(wanted.host, wanted.port, self.look, wanted.environment)
        self._backends = Backends(
            self._proxy,
            lambda release: self._preparation.backend(release, validate=False),
            self._sockets,
            self.log,
        )

    def run(self) -> None:
        """Serves until a signal handler raises in this thread. On SystemExit it accepts no more calls, and ends when
        the runs that are its processes have ended; on KeyboardInterrupt, or on a second exception, at once. Raises
        PortTaken, and OSError if the webhook's port can't be opened."""
        webhook = None
        try:
            self._sockets.mkdir(mode=0o700, exist_ok=True)
            if self._sockets.stat().st_uid != os.getuid():
                raise PermissionError(f"{self._sockets} belongs to another user: remove it")
            self._proxy.start()
            if self._wanted.webhook_port is not None:
                webhook = Webhook(
                    self._wanted.webhook_host,
                    self._wanted.webhook_port,
                    self._wanted.webhook_secret,
                    self.state,
                    self.look,
                )
            self.log(f"listening on {self._wanted.host}:{self._proxy.port}")
            self._restore()
            while True:
                self._turn()
        except SystemExit:
            self.log("accepts no more calls, and ends when its runs have ended")
            with contextlib.suppress(SystemExit, KeyboardInterrupt):
                self._proxy.stop(CALLS_SECONDS)
                self._backends.drain()
            raise
        finally:
            if webhook is not None:
                webhook.stop()
            self._backends.stop(STOP_SECONDS)
            self._proxy.stop(1.0)
            with contextlib.suppress(OSError):
                self._sockets.rmdir()
            self.log("ended")

    @property
    def serving(self) -> bool:
        """Whether any code is served."""
        return self._backends.served is not None

    def look(self) -> None:
        """Asks the remotes at once."""
        self._awake.set()

    def state(self) -> dict[str, Any]:
        """The served commits, since when, and the refused ones with the reasons. Without secrets."""
        served = self._backends.served
        state: dict[str, Any] = {"serving": str(served) if served else None, "since": self._since}
        state["processes"] = self._backends.processes()
        for followed in self._sources():
            state[followed.name] = followed.state() | ({} if served else {"served": None})  # only remembered
        clean: dict[str, Any] = json.loads(self._scrubbed(json.dumps(state)))
        return clean

    def log(self, text: str) -> None:
        """Writes a message, or a backend's line, to stderr."""
        print(f"{now()} {self._scrubbed(text)}", file=sys.stderr, flush=True)  # noqa: T201

    def _turn(self) -> None:
        """Looks for new commits if it is time, serves them, and waits."""
        if woken := self._awake.is_set():
            self._awake.clear()  # a call from here on counts in the next turn
        before = [followed.head for followed in self._sources()]
        for followed in self._sources():
            if woken or followed.due <= time.monotonic():
                followed.look()
        if before != [followed.head for followed in self._sources()]:
            for followed in self._sources():  # a refused commit may be good with the other's new one
                followed.refused = None
        if self._sources():
            self._serve_wanted()
        elif self._backends.served is None and not self._files_refused:
            self._try([Release(None)])
        elif self._files and (changed := self._files.changed()):
            self.log(f"Changed: {', '.join(changed[:SHOWN])}{' ...' if len(changed) > SHOWN else ''}")
            self._try([Release(None)])
        pause = LOOK_SECONDS if self._files else 1.0
        due = min((followed.due for followed in self._sources()), default=time.monotonic() + pause)
        self._awake.wait(max(min(due - time.monotonic(), 3600.0), 0.05))

    def _serve_wanted(self) -> None:
        code, dbt = self._code, self._dbt
        new_code, new_dbt = code.wanted if code else None, dbt.wanted if dbt else None
        if not new_code and not new_dbt:
            return
        old_code, old_dbt = code.served if code else None, dbt.served if dbt else None
        tries = [Release(new_code or old_code, new_dbt or old_dbt)]
        if new_code and new_dbt:  # if one of them is bad, the other is still served
            tries += [Release(new_code, old_dbt)] if old_dbt else []
            tries += [Release(old_code, new_dbt)] if old_code else []
        complete = [one for one in tries if bool(one.code) == bool(code) and bool(one.dbt) == bool(dbt)]
        self._try(complete)

    def _try(self, releases: list[Release]) -> None:
        """Serves the first good release, and refuses the wanted commits that it doesn't contain."""
        why = ""
        for release in releases:
            began = time.monotonic()
            try:
                backend = self._preparation.backend(release, validate=True)
            except TreeUnusable as error:
                why = why or str(error)
                continue
            except (GitFailed, OSError) as error:
                if isinstance(error, OSError) and error.errno not in _MACHINE:
                    why = why or f"{type(error).__name__}: {error}"  # a file where a folder is expected
                    continue
                self.log(f"{release} can't be prepared now, and will be retried: {error}")
                return
            self._serve(release, backend)
            seconds = time.monotonic() - began
            if self._files:
                self.log(f"The files are served as they are now, after {seconds:.1f} s")
            else:
                self.log(f"{release} is served, {seconds:.1f} s after it was fetched")
            break
        for followed, served in self._of(self._backends.served):
            if followed.wanted and followed.wanted != served:
                followed.refuse(followed.wanted, why)
        if self._backends.served is None and why and not self._serve_earlier():
            self._proxy.use(None, f"no code is served, as the newest commit is refused: {why}")
        self._files_refused = bool(self._files and why)
        if self._files and why:
            keeps = "the previous code stays served" if self._backends.served else "nothing is served"
            self.log(f"The changed files are refused, and {keeps}. Correct them:\n{why}")
        elif not self._sources() and why:
            raise TreeUnusable(f"the installed code can't be served: {why}")

    def _serve_earlier(self) -> bool:
        """Serves the newest good commit before a branch's bad head, if none is remembered (on a container's new disk).
        Returns whether there is one."""
        heads = Release(*(one.head if one else None for one in (self._code, self._dbt)))
        for followed in self._sources():
            if followed.kind != "branch" or followed.head is None:
                continue
            with contextlib.suppress(GitFailed, OSError):
                for commit in followed.repository.checkouts.before(followed.head, EARLIER):
                    release = replace(heads, **{followed.name: commit})
                    with contextlib.suppress(TreeUnusable):
                        self._serve(release, self._preparation.backend(release, validate=True))
                        self.log(f"{release} is served, the newest good commit before the head")
                        return True
        return False

    def _serve(self, release: Release, backend: Backend) -> None:
        self._backends.serve(release, backend)
        self._since = now()
        for followed, commit in self._of(release):
            followed.served = commit
            if followed.refused and followed.refused["commit"] == commit:
                followed.refused = None
        try:
            self._memory.keep(self._sources())
            for followed, commit in self._of(release):
                pruned = followed.repository.checkouts.prune({commit or ""}, KEEP_SECONDS)
                if pruned:
                    self.log(f"{followed.name}: removed the checkouts of {len(pruned)} old commits")
        except OSError as error:  # a full disk
            self.log(f"the served commits can't be remembered, or old checkouts not removed: {error}")

    def _restore(self) -> None:
        """Serves the commits that were served last, if they are of the same refs."""
        self._memory.recall(self._sources())
        release = Release(*(one.served if one else None for one in (self._code, self._dbt)))
        if not self._sources() or not all(followed.served for followed in self._sources()):
            return
        try:
            self._serve(release, self._preparation.backend(release, validate=False))
            self.log(f"{release} is served, as before")
        except (GitFailed, TreeUnusable, OSError) as error:
            self.log(f"{release} was served before, and can't be now: {error}")
            for followed in self._sources():
                followed.served = None

    def _sources(self) -> list[Followed]:
        return [one for one in (self._code, self._dbt) if one is not None]

    def _of(self, release: Release | None) -> Iterator[tuple[Followed, str | None]]:
        if self._code is not None:
            yield self._code, release.code if release else None
        if self._dbt is not None:
            yield self._dbt, release.dbt if release else None

    def _followed(self, name: str, remote: Remote | None) -> Followed | None:
        if remote is None:
            return None
        return Followed(name, Repository(remote, self._root), self.log, self._wanted.poll)

    def _scrubbed(self, text: str) -> str:
        for secret in self._secrets:
            text = scrub(text, secret)
        return text
