"""How every container of the image starts: `python -m data_platform.code.start COMMAND ARGUMENTS...`.

It renders the instance where one is needed, checks out the commit that the run was created with, brings the dbt
project's head, and becomes the command. With nothing to do it imports nothing but the standard library, and what it
prints on failure is what an operator reads in the task's log.
"""

from __future__ import annotations

import importlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, MutableMapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeVar

from data_platform.machine import DAGSTER_VARIABLES

if TYPE_CHECKING:
    from data_platform.code.checkouts import Checkouts
    from data_platform.code.git import Remote

Environment = MutableMapping[str, str]
_Result = TypeVar("_Result")
PAUSES = (1.0, 2.0, 4.0, 8.0)
"""Seconds between tries to reach a repository: a run isn't failed by a short break."""
# They ask code servers for everything, and load no definitions; the code server sees to dbt itself.
_WITHOUT_DEFINITIONS = (["dagster-webserver"], ["dagster-daemon"], ["data-platform", "code-server"])
_FAILED, _NOT_FOUND, _ENDED = 1, 127, 128 + signal.SIGTERM


class StartFailed(Exception):
    """The command can't be started; the message says why and what to do."""


def main(arguments: Sequence[str]) -> NoReturn:
    """Prepares this process for the command and becomes it. Exits with 1 where that fails, with 127 where there is no
    such command."""
    command = list(arguments)
    if not command:
        sys.exit("usage: python -m data_platform.code.start COMMAND ARGUMENTS...")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(_ENDED))  # lets what waits for a child end that child
    try:
        prepare(command, os.environ)
        program, *rest = resolved(command, os.environ)
        sys.stdout.flush()
        os.execvpe(program, [program, *rest], os.environ)  # noqa: S606  no shell is wanted
    except FileNotFoundError:
        say(f"there is no command {command[0]!r} here")
        sys.exit(_NOT_FOUND)
    except Exception as error:
        known = type(error).__module__.startswith("data_platform.")
        say(f"`{' '.join(command[:3])}` was not started: {error if known else f'{type(error).__name__}: {error}'}")
        sys.exit(_FAILED)


def prepare(command: Sequence[str], environment: Environment) -> None:
    """Makes `environment`, the working folder and the instance what the command needs. Raises StartFailed and the
    domain errors of what it calls."""
    for name, value in DAGSTER_VARIABLES.items():
        environment.setdefault(name, value)
    home = environment.get("DAGSTER_HOME")
    if home and command[:2] != ["dagster", "api"] and not (Path(home) / "dagster.yaml").exists():
        # Rendering needs the settings, and pydantic with them; not imported by name, as a package of the engine's
        # layer can't know it.
        importlib.import_module("data_platform.runs.instance").write(Path(home))
    if environment.get("DATA_PLATFORM_CODE_URL") and environment.get("DATA_PLATFORM_CODE_COMMIT"):
        _take_code(environment)
    if environment.get("DATA_PLATFORM_DBT_URL") and not _starts_with(command, _WITHOUT_DEFINITIONS):
        _take_dbt(environment)


def resolved(command: Sequence[str], environment: Environment) -> list[str]:
    """The command with its program's path. Programs beside this Python go first, so that Dagster is always run by the
    Python that the code was checked with. Raises FileNotFoundError."""
    name, *rest = command
    if name == "dagster":
        return [sys.executable, "-m", "dagster", *rest]
    beside = Path(sys.executable).parent / name  # of a path, that path
    found = str(beside) if beside.exists() else shutil.which(name, path=environment.get("PATH"))
    if found is None:
        raise FileNotFoundError(name)
    return [found, *rest]


def _take_code(environment: Environment) -> None:
    """Checks out the run's commit and works in it."""
    from data_platform.code.checkouts import Checkouts
    from data_platform.code.tree import INSTALLED, bring_manifest, checkouts_root, dbt_project, environment_of

    began, commit = time.monotonic(), environment["DATA_PLATFORM_CODE_COMMIT"]
    remote = _remote(environment, "DATA_PLATFORM_CODE", ref=commit)
    checkouts = Checkouts(checkouts_root(environment), remote)
    checkouts.hold(commit)  # until the command ends
    tree = _patiently(lambda: checkouts.check_out(commit))
    environment.update(environment_of(tree, environment))
    os.chdir(tree)
    project = None if environment.get("DATA_PLATFORM_DBT_URL") else dbt_project(tree)
    if project is not None:
        bring_manifest(project, tree, environment, seeds=(INSTALLED / "dbt_project",))
    say(f"commit {commit[:12]} of {remote.url}, after {time.monotonic() - began:.1f} s")


def _take_dbt(environment: Environment) -> None:
    """Brings the dbt project's head, or the commit that the code server serves where the head can't be had, is bad, or
    lacks what that has: Dagster fails a run whose selection names an asset or a check that is gone. A tag that was
    moved is not followed."""
    from data_platform.code.checkouts import Checkouts
    from data_platform.code.git import GitFailed
    from data_platform.code.tree import TreeUnusable, checkouts_root

    began, served = time.monotonic(), environment.get("DATA_PLATFORM_DBT_COMMIT")
    remote = _remote(environment, "DATA_PLATFORM_DBT")
    checkouts = Checkouts(checkouts_root(environment), remote)
    try:
        head = remote.resolve() if served else _patiently(remote.resolve)
        commit = head.commit
        if served and head.kind == "tag" and commit != served:
            say(f"tag {remote.ref} of {remote.url} was moved to {commit[:12]}, which is not followed")
            commit = served
        _use_dbt(checkouts, commit, environment)
        if served and commit != served and (gone := _gone(checkouts, served, environment)):
            raise TreeUnusable(f"runs may have been made with what it no longer has: {', '.join(gone[:5])}")
    except (GitFailed, TreeUnusable) as error:
        if not served:
            raise
        say(f"warning: the head of {remote.ref} can't be used, and {served[:12]} is run instead: {error}")
        commit = served
        _patiently(lambda: _use_dbt(checkouts, served, environment))
    say(f"dbt commit {commit[:12]} of {remote.url}, after {time.monotonic() - began:.1f} s")


def _use_dbt(checkouts: Checkouts, commit: str, environment: Environment) -> None:
    from data_platform.code.tree import TreeUnusable, bring_manifest, dbt_project

    checkouts.hold(commit)
    tree = checkouts.check_out(commit)
    project = dbt_project(tree)
    if project is None:
        raise TreeUnusable(f"commit {commit} holds no dbt_project.yml, neither at its root nor in dbt_project/")
    bring_manifest(project, Path.cwd(), environment)
    environment["DATA_PLATFORM_DBT_COMMIT"] = commit
    environment["DATA_PLATFORM_DBT_PROJECT_DIR"] = str(project)


def _gone(checkouts: Checkouts, served: str, environment: Environment) -> list[str]:
    """What the served commit has and the one in `environment` lacks. Nothing, where the served one can't be had."""
    from data_platform.code.git import GitFailed
    from data_platform.code.tree import TreeUnusable, bring_manifest, dbt_project, nodes

    try:
        checkouts.hold(served)
        project = dbt_project(checkouts.check_out(served))
        if project is None:
            return []
        bring_manifest(project, Path.cwd(), environment)
    except (GitFailed, TreeUnusable) as error:
        say(f"warning: {served[:12]} can't be compared with: {error}")
        return []
    return sorted(nodes(project) - nodes(Path(environment["DATA_PLATFORM_DBT_PROJECT_DIR"])))


def _remote(environment: Environment, prefix: str, ref: str | None = None) -> Remote:
    """The repository. Its token leaves the environment: neither the checkout's tools nor the command need it."""
    from data_platform.code.git import Remote

    wanted = ref or environment.get(f"{prefix}_REF")
    if not wanted:
        raise StartFailed(f"{prefix}_REF is missing: expected a branch or tag of {prefix}_URL")
    return Remote(environment[f"{prefix}_URL"], wanted, environment.pop(f"{prefix}_TOKEN", "") or None, prefix)


def _patiently(attempt: Callable[[], _Result]) -> _Result:
    """What `attempt` gives, tried again with pauses while the repository can't be reached."""
    from data_platform.code.git import GitFailed, RefMissing

    for pause in PAUSES:
        try:
            return attempt()
        except RefMissing:
            raise
        except GitFailed as error:
            say(f"tried again in {pause:.0f} s: {error}")
            time.sleep(pause)
    return attempt()


def _starts_with(command: Sequence[str], known: Sequence[Sequence[str]]) -> bool:
    return any(list(command[: len(one)]) == list(one) for one in known)


def say(text: str) -> None:
    """One message to the task's log."""
    print(f"data-platform start: {text}", file=sys.stderr, flush=True)  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1:])
