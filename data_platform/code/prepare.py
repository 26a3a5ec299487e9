"""Prepares a release: checks it out, validates it, parses its dbt project, and starts a backend that loads it. The
check and the load run in parallel. The served backend isn't touched."""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from data_platform.code.backend import Backend, socket_of_this
from data_platform.code.checkouts import Checkouts
from data_platform.code.git import Remote
from data_platform.code.release import Release, backend_environment
from data_platform.code.tree import INSTALLED, TreeUnusable, bring_manifest, dbt_project
from data_platform.code.validate import check_definitions, check_packages


class Repository:
    """A repository, and its commits on this disk."""

    def __init__(self, remote: Remote, root: Path) -> None:
        self.remote = remote
        self.checkouts = Checkouts(root, remote)

    def check_out(self, commit: str, ref: str | None = None) -> tuple[Path, int]:
        """Returns the commit's folder, and the descriptor that holds it. Raises GitFailed."""
        hold = self.checkouts.hold(commit)
        try:
            return self.checkouts.check_out(commit, ref), hold
        except BaseException:
            os.close(hold)
            raise


class Preparation:
    """Makes backends. `code` is None if the installed code is served, `dbt` if the dbt project is part of the code.
    `dagster` is Dagster's command. `check_installed`: somebody edits the installed code."""

    def __init__(
        self,
        code: Repository | None,
        dbt: Repository | None,
        inherited: Mapping[str, str],
        sockets: Path,
        dagster: Sequence[str],
        log: Callable[[str], None],
        *,
        check_installed: bool = False,
    ) -> None:
        self._code, self._dbt = code, dbt
        self._check_installed = check_installed
        self._inherited = inherited
        self._sockets = sockets
        self._dagster = dagster
        self._log = log
        self._numbers = itertools.count(1)
        self._seeds: tuple[Path, ...] = (INSTALLED / "dbt_project",)

    def backend(self, release: Release, *, validate: bool) -> Backend:
        """Returns a loaded backend. Without `validate` for a release that was served before. Raises GitFailed if a
        commit can't be fetched, and TreeUnusable with the tools' messages if the release is bad."""
        with contextlib.ExitStack() as until_started:
            tree, holds = INSTALLED, []
            if self._code is not None and release.code is not None:
                tree, hold = self._code.check_out(release.code)
                holds.append(hold)
                until_started.callback(os.close, hold)
                check_packages(tree)  # always: another image may have served it before
            project = dbt_project(tree)
            if self._dbt is not None and release.dbt is not None:
                project, hold = self._foreign_project(self._dbt, release.dbt)
                holds.append(hold)
                until_started.callback(os.close, hold)
            return self._loaded(release, tree, project, holds, validate)

    def _foreign_project(self, repository: Repository, commit: str) -> tuple[Path, int]:
        folder, hold = repository.check_out(commit)
        project = dbt_project(folder)
        if project is None:
            os.close(hold)
            raise TreeUnusable(f"dbt commit {commit} holds no dbt_project.yml, at its root or in dbt_project/")
        return project, hold

    def _loaded(self, release: Release, tree: Path, project: Path | None, holds: list[int], validate: bool) -> Backend:
        environment = backend_environment(
            self._inherited,
            tree,
            release,
            self._code.remote if self._code else None,
            self._dbt.remote if self._dbt else None,
            project if release.dbt else None,
        )
        given_up = threading.Event()

        def load() -> Backend:
            if project is not None and (release.code or release.dbt):  # the installed code parses its own
                bring_manifest(project, tree, environment, self._seeds)
            socket = socket_of_this(self._sockets, next(self._numbers))
            started = Backend(str(release), tree, environment, socket, self._dagster, holds, self._log)
            try:
                started.wait_until_loaded(given_up=given_up)
            except BaseException:
                started.kill()
                started.close()
                raise
            return started

        # Side by side, as each takes seconds of one core. The check is made in this thread, where a signal ends it.
        with ThreadPoolExecutor(1, thread_name_prefix="prepare") as pool:
            loading = pool.submit(load)
            try:
                if validate and (tree != INSTALLED or self._check_installed):
                    check_definitions(tree, environment)
                backend = loading.result()
            except BaseException:  # SystemExit too, which SIGTERM raises
                given_up.set()
                with contextlib.suppress(Exception):
                    backend = loading.result()
                    backend.kill()
                    backend.close()
                raise
        if project is not None:
            self._seeds = (project, INSTALLED / "dbt_project")
        return backend
