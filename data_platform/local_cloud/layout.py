"""Where the local cloud keeps things: paths below its state directory, and the atomic writing of small files.

No process is started and no port is chosen here.
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
        """The layout below a state directory, made absolute so that it can stand in a child's command
        line."""
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
    def dagster_home(self) -> Path:
        return self.root / "dagster"

    @property
    def images(self) -> Path:
        """What images the local ECS has."""
        return self.root / "images"

    @property
    def home(self) -> Path:
        """The home folder of the parts' processes: an empty one, so that no developer's dot files are
        read."""
        return self.root / "home"

    def data(self, part: str) -> Path:
        return self.root / "data" / part

    def log(self, part: str) -> Path:
        return self.root / "logs" / f"{part}.log"

    def record(self, part: str) -> Path:
        """What is known of a part that was started: its process and its ports."""
        return self.root / "run" / f"{part}.json"

    @property
    def provisioned(self) -> Path:
        """What the parts that run were provisioned with."""
        return self.root / "run" / "provisioned"

    def everything(self) -> list[Path]:
        """What `reset` removes: all that is made here except the lock, which is held meanwhile."""
        folders = ("data", "dagster", "home", "images", "keys", "logs", "run")
        return [self.environment, *(self.root / folder for folder in folders)]

    def make(self) -> None:
        """Makes the folders; those that hold keys or data are closed to other users."""
        for folder in (self.root, self.root / "logs", self.root / "data"):
            folder.mkdir(parents=True, exist_ok=True)
        for folder in (self.root / "run", self.keys, self.partner_keys, self.dagster_home, self.home):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)


def write_atomically(path: Path, text: str, *, mode: int = 0o600) -> None:
    """Replaces a small file so that a reader sees the old text or the new, never half of it."""
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
