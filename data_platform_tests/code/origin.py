"""A repository as a team's git server has it: bare, on this disk, pushed to by a test. Its code is a tiny data platform
that answers the commands which the code server asks of a checkout."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

DEFINITIONS = """\
import os
import time
from pathlib import Path

import dagster as dg

VERSION = {version!r}


@dg.asset(description=VERSION)
def published() -> None:
    seen = Path(os.environ["SEEN"])
    seen.write_text(VERSION + " began")
    while not seen.with_name("go").exists():
        time.sleep(0.1)
    seen.write_text(VERSION + " ended")


defs = dg.Definitions(assets=[published], jobs=[dg.define_asset_job("publish", "*")], executor=dg.in_process_executor)
"""
CLI = """\
import json
import sys
from pathlib import Path


def main():
    command = sys.argv[1]
    if command == "check":
        sys.exit("defs.yaml:1:1: {problem}" if {problem!r} else 0)
    if command == "dbt-manifest":
        project = Path(sys.argv[3])
        if "nonsense" in (project / "dbt_project.yml").read_text():
            sys.exit("dbt can't parse it: nonsense")
        (project / "target").mkdir(exist_ok=True)
        for name in ("partial_parse.msgpack", "fingerprint"):
            (project / "target" / name).write_text(name)
        models = {{"model.x." + path.stem: {{"fqn": ["x", path.parent.name]}} for path in project.rglob("*.sql")}}
        (project / "target" / "manifest.json").write_text(json.dumps({{"nodes": models}}))
        with (project / "target" / "built").open("a") as built:
            built.write("once more\\n")
"""
_AS = {
    "GIT_AUTHOR_NAME": "A Tester",
    "GIT_AUTHOR_EMAIL": "tester@example.org",
    "GIT_COMMITTER_NAME": "A Tester",
    "GIT_COMMITTER_EMAIL": "tester@example.org",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
}


@dataclass(frozen=True)
class Origin:
    """A bare repository at `bare`, and the clone that is pushed from."""

    bare: Path
    clone: Path

    @classmethod
    def at(cls, folder: Path) -> Origin:
        """A new, empty repository."""
        folder.mkdir(parents=True, exist_ok=True)
        made = cls(folder / "origin.git", folder / "clone")
        _git(folder, "init", "--quiet", "--bare", "--initial-branch=main", str(made.bare))
        _git(folder, "clone", "--quiet", str(made.bare), str(made.clone))
        made.git("checkout", "--quiet", "-B", "main")
        return made

    def git(self, *arguments: str) -> str:
        """A git command in the clone."""
        return _git(self.clone, *arguments)

    def push(self, files: dict[str, str], branch: str = "main") -> str:
        """Pushes a commit with these files; its hash."""
        for name, text in files.items():
            path = self.clone / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "a change")
        self.git("push", "--quiet", "origin", f"HEAD:refs/heads/{branch}")
        return self.head

    def push_code(self, version: str, problem: str = "", extra: dict[str, str] | None = None) -> str:
        """Pushes the tiny platform; `problem` is what its `check` finds."""
        return self.push(
            {
                "data_platform/__init__.py": "",
                "data_platform/definitions.py": DEFINITIONS.format(version=version),
                "data_platform/cli.py": CLI.format(problem=problem),
                "requirements/base.txt": "# what the image has\nclick>=8.1\n",
                **(extra or {}),
            }
        )

    def push_tag(self, tag: str, *, move: bool = False) -> None:
        """An annotated tag of the clone's head."""
        self.git("tag", "--annotate", *(["--force"] if move else []), "--message", tag, tag)
        self.git("push", "--quiet", *(["--force"] if move else []), "origin", f"refs/tags/{tag}")

    @property
    def head(self) -> str:
        return self.git("rev-parse", "HEAD")


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=folder, env={**os.environ, **_AS}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
