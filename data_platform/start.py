"""How every container of the image starts: `python -m data_platform.start COMMAND ARGUMENTS...`.

It renders Dagster's instance where one is needed, checks out the commit that the run was created with, fetches the dbt
project's head, and becomes the command. With nothing to do it imports only the standard library. Operators read its
messages in the task's log.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, MutableMapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeVar
from urllib.parse import quote

from data_platform.code.release import DAGSTER_VARIABLES

if TYPE_CHECKING:
    from data_platform.code.checkouts import Checkouts
    from data_platform.code.git import Remote

Environment = MutableMapping[str, str]
_Result = TypeVar("_Result")
PAUSES = (1.0, 2.0, 4.0, 8.0)
"""Seconds between attempts to reach a repository: a short outage doesn't fail a run."""
DATABASE_SECRET = "DAGSTER_POSTGRES_SECRET"  # noqa: S105  a variable's name
DATABASE_SERVER = "DAGSTER_POSTGRES_SERVER"
RDS_CERTIFICATES = Path(__file__).resolve().parents[1] / "deploy" / "rds-ca.pem"
# The first two load no definitions: they ask code servers. The code server follows dbt's repository itself.
_WITHOUT_DEFINITIONS = (["dagster-webserver"], ["dagster-daemon"], ["data-platform", "code-server"])
_FAILED, _NOT_FOUND, _ENDED = 1, 127, 128 + signal.SIGTERM


class StartFailed(Exception):
    """The command can't be started; the message says why and what to do."""


def main(arguments: Sequence[str]) -> NoReturn:
    """Prepares this process for the command and becomes it. Exits with 1 if the preparation fails, with 127 if there is
    no such command."""
    command = list(arguments)
    if not command:
        sys.exit("usage: python -m data_platform.start COMMAND ARGUMENTS...")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(_ENDED))  # an exception, so that a running git is ended too
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
    """Sets up `environment`, the working folder and Dagster's instance for the command. Raises StartFailed, GitFailed,
    TreeUnusable and SettingsError."""
    for name, value in DAGSTER_VARIABLES.items():
        environment.setdefault(name, value)
    if region := environment.get("AWS_REGION"):
        environment.setdefault("AWS_DEFAULT_REGION", region)  # boto3 reads only this one
    if secret := environment.pop(DATABASE_SECRET, ""):
        environment["DAGSTER_POSTGRES_URL"] = database_url(secret, environment.get(DATABASE_SERVER, ""))
    home = environment.get("DAGSTER_HOME")
    if home and command[:2] != ["dagster", "api"] and not (Path(home) / "dagster.yaml").exists():
        from data_platform.runs.instance import write  # imports pydantic: a run's start does without

        write(Path(home))
    if environment.get("DATA_PLATFORM_CODE_URL") and environment.get("DATA_PLATFORM_CODE_COMMIT"):
        _take_code(environment)
    if environment.get("DATA_PLATFORM_DBT_URL") and not _starts_with(command, _WITHOUT_DEFINITIONS):
        _take_dbt(environment)


def database_url(secret: str, server: str = "") -> str:
    """The URL of Dagster's database from RDS's secret in Secrets Manager: JSON with username and password. The secrets
    that RDS itself changes hold no more, so `server` is `host:port/dbname`; others hold host, port and dbname, too. The
    connection verifies the server's certificate. Raises StartFailed, which shows no value."""
    try:
        given = json.loads(secret)
        user, password = (quote(given[name], safe="") for name in ("username", "password"))
        place = server or f"{given['host']}:{given['port']}/{given['dbname']}"
    except (ValueError, KeyError, TypeError) as error:
        missing = f"{error} is missing" if isinstance(error, KeyError) else "it is no JSON object"
        raise StartFailed(
            f"{DATABASE_SECRET}: {missing}; expected RDS's secret with username and password, and the server as"
            f" {DATABASE_SERVER}=host:port/dbname or as host, port and dbname in the secret"
        ) from None
    return f"postgresql://{user}:{password}@{place}?sslmode=verify-full&sslrootcert={RDS_CERTIFICATES}"


def resolved(command: Sequence[str], environment: Environment) -> list[str]:
    """The command with its program's path. Programs beside this Python come first, so that this Python always runs
    Dagster. Raises FileNotFoundError."""
    name, *rest = command
    if name == "dagster":
        return [sys.executable, "-m", "dagster", *rest]
    beside = Path(sys.executable).parent / name  # of a path, that path
    found = str(beside) if beside.exists() else shutil.which(name, path=environment.get("PATH"))
    if found is None:
        raise FileNotFoundError(name)
    return [found, *rest]


def _take_code(environment: Environment) -> None:
    """Checks out the run's commit and makes it the working folder."""
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
    """Takes the head of the dbt project's ref, or, if it can't be fetched or parsed, the commit that the code server
    serves. The same if the head lacks a model or test of the served commit: Dagster would fail the runs that select
    it. A tag that was moved is not followed."""
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
            raise TreeUnusable(f"it lacks models or tests that runs may select: {', '.join(gone[:5])}")
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
    """The models and tests of the served commit that the one in `environment` lacks. None if the served commit can't be
    fetched or parsed."""
    from data_platform.code.git import GitFailed
    from data_platform.code.tree import TreeUnusable, bring_manifest, dbt_project, nodes

    try:
        checkouts.hold(served)
        project = dbt_project(checkouts.check_out(served))
        if project is None:
            return []
        bring_manifest(project, Path.cwd(), environment)
    except (GitFailed, TreeUnusable) as error:
        say(f"warning: {served[:12]} could not be compared with the head: {error}")
        return []
    return sorted(nodes(project) - nodes(Path(environment["DATA_PLATFORM_DBT_PROJECT_DIR"])))


def _remote(environment: Environment, prefix: str, ref: str | None = None) -> Remote:
    """The repository. Takes its token out of the environment: neither the checkout's tools nor the command need it."""
    from data_platform.code.git import Remote

    wanted = ref or environment.get(f"{prefix}_REF")
    if not wanted:
        raise StartFailed(f"{prefix}_REF is missing: expected a branch or tag of {prefix}_URL")
    return Remote(environment[f"{prefix}_URL"], wanted, environment.pop(f"{prefix}_TOKEN", "") or None, prefix)


def _patiently(attempt: Callable[[], _Result]) -> _Result:
    """Calls `attempt`, and retries with pauses while the repository can't be reached."""
    from data_platform.code.git import GitFailed, RefMissing

    for pause in PAUSES:
        try:
            return attempt()
        except RefMissing:
            raise
        except GitFailed as error:
            say(f"retrying in {pause:.0f} s: {error}")
            time.sleep(pause)
    return attempt()


def _starts_with(command: Sequence[str], known: Sequence[Sequence[str]]) -> bool:
    return any(list(command[: len(one)]) == list(one) for one in known)


def say(text: str) -> None:
    """One message to the task's log."""
    print(f"data-platform start: {text}", file=sys.stderr, flush=True)  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1:])
