"""SFTP as the partner `smoke`, by OpenSSH's own client, as a partner's would be."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
from pydantic import SecretStr

from data_platform.cli.smoke.declaration import PARTNER
from data_platform.environment import Settings
from data_platform.program import as_typed

_SECONDS = 60


class SftpFailed(click.ClickException):
    """The server, or the client, refused. The message says what it said, and what to do."""


@dataclass(frozen=True)
class Sftp:
    """How to sign in. `key`: a file, or the key itself. `known_hosts`: a file for the server's host key, which the
    first session accepts and the next ones compare; None: each compares it with the hosts that this machine knows."""

    host: str
    port: int
    key: Path | SecretStr
    known_hosts: Path | None

    @classmethod
    def of(cls, given: Settings, key: Path | None, host: str | None, port: int | None, folder: Path) -> Sftp:
        """From the options, or else the settings. `folder`: for this test's known hosts. Raises click.UsageError for
        what neither says."""
        local = given.environment == "local"
        host = host or given.sftp.host
        stored = given.state_dir / "keys" / "partners" / PARTNER if local else given.sftp.smoke_private_key
        found = key or stored
        if host is None or found is None:
            missing = (
                "--host (or SFTP_HOST)"
                if host is None
                else "--key (or SMOKE_PRIVATE_KEY), the private key of the partner `smoke`,"
            )
            raise click.UsageError(f"{missing} is missing; `data-platform smoke -h` shows an example")
        if isinstance(found, Path):
            if not found.exists():
                raise click.ClickException(
                    as_typed(f"{found} doesn't exist: `data-platform up` makes the partner's key.")
                )
            found = found.resolve()
        if shutil.which("sftp") is None:
            raise click.ClickException("OpenSSH's `sftp` isn't installed here: install it (openssh-client)")
        # A task knows no hosts, and the local cloud's host key is new each time. An impostor would get test rows, and
        # the test would miss the file in the bucket.
        first_use = isinstance(found, SecretStr) or (local and host == given.sftp.host)
        return cls(host, port or given.sftp.port, found, folder / "known_hosts" if first_use else None)

    def run(self, *commands: str) -> str:
        """A session of these commands, which ends at the first that fails. Returns what it printed. Raises
        SftpFailed."""
        known = (
            ("StrictHostKeyChecking=accept-new", f'UserKnownHostsFile="{self.known_hosts}"') if self.known_hosts else ()
        )
        options = ("IdentitiesOnly=yes", "BatchMode=yes", "ConnectTimeout=20", "LogLevel=ERROR", *known)
        command = ["sftp", "-F", "/dev/null", "-b", "-", "-P", str(self.port)]
        command += [part for option in options for part in ("-o", option)]
        try:
            with self._key_file() as key:
                done = subprocess.run(
                    [*command, "-i", str(key), f"{PARTNER}@{self.host}"],
                    input="\n".join(commands) + "\n",
                    capture_output=True,
                    text=True,
                    timeout=_SECONDS,
                    check=False,
                )
        except subprocess.TimeoutExpired:
            raise SftpFailed(
                f"{self.host}:{self.port} didn't answer within {_SECONDS} s: is port {self.port} open to this machine?"
            ) from None
        if done.returncode != 0:
            said = " ".join(done.stderr.split()) or f"sftp ended with {done.returncode}"
            raise SftpFailed(f"SFTP as {PARTNER}@{self.host}:{self.port} failed: {said}. {_advice(said)}")
        return done.stdout

    @contextmanager
    def _key_file(self) -> Iterator[Path]:
        """The key's file. A key that isn't one is written to a file that only this user can read, while the block
        runs."""
        if isinstance(self.key, Path):
            yield self.key
            return
        with tempfile.NamedTemporaryFile("w", encoding="utf-8") as file:
            file.write(self.key.get_secret_value().strip() + "\n")  # ssh reads no key whose last line isn't ended
            file.flush()
            yield Path(file.name)


def _advice(said: str) -> str:
    if "Host key verification failed" in said:
        return "Compare the server's key with the one that AWS Transfer shows, and add it to ~/.ssh/known_hosts."
    if "Permission denied" in said:
        return "Is the key's public half in the partner's public_keys, and is the partner deployed?"
    return "Is the host right, and is the server up?"
