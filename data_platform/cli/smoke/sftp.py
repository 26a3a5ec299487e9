"""SFTP as the partner `smoke`, by OpenSSH's own client, as a partner's would be."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import click

from data_platform.cli.smoke.declaration import PARTNER
from data_platform.environment import Settings
from data_platform.program import as_typed

_SECONDS = 60


class SftpFailed(click.ClickException):
    """The server, or the client, refused. The message says what it said, and what to do."""


@dataclass(frozen=True)
class Sftp:
    """How to sign in. `trusted`: whether the server is the local cloud, whose host key is new each time."""

    host: str
    port: int
    key: Path
    trusted: bool

    @classmethod
    def of(cls, given: Settings, key: Path | None, host: str | None, port: int | None) -> Sftp:
        """From the options, or else the settings. Raises click.UsageError for what neither says."""
        local = given.environment == "local"
        host = host or given.sftp.host
        key = key or (given.state_dir / "keys" / "partners" / PARTNER if local else None)
        if host is None or key is None:
            missing = "--host (or SFTP_HOST)" if host is None else "--key, the private key of the partner `smoke`"
            raise click.UsageError(f"{missing} is missing; `data-platform smoke -h` shows an example")
        if not key.exists():
            raise click.ClickException(as_typed(f"{key} doesn't exist: `data-platform up` makes the partner's key."))
        if shutil.which("sftp") is None:
            raise click.ClickException("OpenSSH's `sftp` isn't installed here: install it (openssh-client)")
        return cls(host, port or given.sftp.port, key.resolve(), local and host == given.sftp.host)

    def run(self, *commands: str) -> str:
        """A session of these commands, which ends at the first that fails. Returns what it printed. Raises
        SftpFailed."""
        known = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null") if self.trusted else ()
        options = ("IdentitiesOnly=yes", "BatchMode=yes", "ConnectTimeout=20", "LogLevel=ERROR", *known)
        command = ["sftp", "-F", "/dev/null", "-b", "-", "-i", str(self.key), "-P", str(self.port)]
        command += [part for option in options for part in ("-o", option)]
        try:
            done = subprocess.run(
                [*command, f"{PARTNER}@{self.host}"],
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


def _advice(said: str) -> str:
    if "Host key verification failed" in said:
        return "Compare the server's key with the one that AWS Transfer shows, and add it to ~/.ssh/known_hosts."
    if "Permission denied" in said:
        return "Is the key's public half in the partner's public_keys, and is the partner deployed?"
    return "Is the host right, and is the server up?"
