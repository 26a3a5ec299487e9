"""Where the local cloud keeps its files: the paths below its state directory, and how small files are written.

Starts no process and chooses no port.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Layout:
    """The files of one local cloud; two of them live side by side when their roots differ."""

    root: Path

    @classmethod
    def at(cls, state_dir: Path) -> Layout:
        """The layout below a state directory, as an absolute path: children's command lines name it."""
        return cls(state_dir.expanduser().resolve())

    @property
    def lock(self) -> Path:
        return self.root / "cloud.lock"

    @property
    def environment(self) -> Path:
        """The dotenv file that the platform's settings read in `local`."""
        return self.root / "cloud.env"

    @property
    def keys(self) -> Path:
        return self.root / "keys"

    @property
    def partner_keys(self) -> Path:
        return self.keys / "partners"

    @property
    def sftp_host_key(self) -> Path:
        """SFTP's private host key. Clients remember it, so `reset` leaves it."""
        return self.root / "sftp_host_key"

    @property
    def dagster_home(self) -> Path:
        return self.root / "dagster"

    @property
    def images(self) -> Path:
        """The images of the local ECS."""
        return self.root / "images"

    @property
    def home(self) -> Path:
        """The parts' home folder, which is empty, so that they read no dot files of the developer's."""
        return self.root / "home"

    def data(self, part: str) -> Path:
        return self.root / "data" / part

    def log(self, part: str) -> Path:
        return self.root / "logs" / f"{part}.log"

    def record(self, part: str) -> Path:
        """A part's process and ports."""
        return self.root / "run" / f"{part}.json"

    @property
    def provisioned(self) -> Path:
        """A hash of the plan that the running parts were provisioned with."""
        return self.root / "run" / "provisioned"

    def everything(self) -> list[Path]:
        """What `reset` removes: everything except the lock, which it holds, and SFTP's host key."""
        folders = ("data", "dagster", "home", "images", "keys", "logs", "run")
        return [self.environment, *(self.root / folder for folder in folders)]

    def make(self) -> None:
        """Create the folders. Other users can't read those of keys and records."""
        for folder in (self.root, self.root / "logs", self.root / "data"):
            folder.mkdir(parents=True, exist_ok=True)
        for folder in (self.root / "run", self.keys, self.partner_keys, self.dagster_home, self.home):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)


def write_atomically(path: Path, text: str, *, mode: int = 0o600) -> None:
    """Replace a small file: a reader sees the old text or the new, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        temporary.chmod(mode)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
