"""A newcomer in a clone of the project: types what the docs show, edits files, and watches `data-platform dev`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from data_platform_tests.end_to_end.dev_server import DevServer
from data_platform_tests.end_to_end.platform import BIN, Platform, patience, wait_for
from data_platform_tests.end_to_end.project import environment
from data_platform_tests.servers.commands import ended

_SFTP_PORT = "12222"
"""The port of the docs' commands, which a test's cloud has not."""
_SFTP = """#!/bin/sh
exec {sftp} -F /dev/null -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR "$@"
"""
"""Says yes to the host key of a server that is new each time."""


@dataclass(frozen=True)
class Newcomer:
    """Works in the folder `project`. `served` and `changed`: what `dev` says when it serves changed files, and when it
    has noticed some."""

    platform: Platform
    project: Path
    dev: DevServer
    served: str
    changed: str = "Changed: "

    def run(self, line: str, code: int = 0) -> str:
        """Runs a shell's line as a page shows it, and returns what it printed. Raises AssertionError unless it exits
        with `code`."""
        done = ended(
            ["bash", "-c", line.replace(_SFTP_PORT, self.platform.environment["SFTP_PORT"])],
            cwd=self.project,
            environment=self._environment(),
            seconds=patience(600),
        )
        assert done.returncode == code, f"{line}\n{done.stdout}{done.stderr}\n{self.dev.log.read_text()[-4000:]}"
        return done.stdout + done.stderr

    def write(self, files: Mapping[str, str]) -> None:
        """Writes files by their paths in the project, and waits until `dev` serves them."""
        seen = len(self.dev.log.read_text())
        for name, text in files.items():
            path = self.project / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        self.wait_until_served(seen)

    def wait_until_served(self, seen: int) -> None:
        """Waits until `dev` says, after the first `seen` characters of its output, that it serves the files, and has
        noticed no change since."""

        def served() -> bool:
            text = self.dev.log.read_text()[seen:]
            return text.rfind(self.served) > text.rfind(self.changed)

        wait_for(served, 120, f"dev serves the changed files: {self.dev.log.read_text()[seen:]}")

    def rows(self, table: str, number: int, seconds: float = 90) -> list[dict[str, object]]:
        """A table's rows, as soon as it has so many. Raises AssertionError."""

        def there() -> list[dict[str, object]] | None:
            assert "STEP_FAILURE" not in self.dev.log.read_text(), self.dev.log.read_text()[-6000:]
            found = self.platform.query(
                "SELECT COUNT(*) FROM INFORMATION_SCHEMA.TABLES"
                f" WHERE TABLE_SCHEMA || '.' || TABLE_NAME = '{table.upper()}'"
            )
            rows = self.platform.rows(table) if found[0][0] else []
            return rows if len(rows) == number else None

        return wait_for(there, seconds, f"{table} has {number} rows")

    def _environment(self) -> dict[str, str]:
        bin_ = self.project.parent / "bin"
        if not bin_.exists():
            bin_.mkdir()
            (bin_ / "sftp").write_text(_SFTP.format(sftp="/usr/bin/sftp"))
            (bin_ / "sftp").chmod(0o755)
        variables = self.platform.child_environment | environment(self.project)
        return variables | {"PATH": f"{bin_}:{BIN}:{variables['PATH']}"}
