"""The dbt project's manifest: built once, and kept beside a fingerprint of the files from which it was built.

`data-platform dbt-manifest` builds it, also in the image's build; loading definitions only reads it. In `local`,
loading rebuilds a stale one. The dbt component turns it into assets.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from data_platform.environment import Settings
from data_platform.transform.process import run_dbt

_BUILT = ("manifest.json", "partial_parse.msgpack")
PARSE_SECONDS = 300.0
"""How long dbt may take to parse the project. A second process that wants to build waits for it."""
_MISSING = re.compile(r"\(([^()\s]+)\) depends on a (source|node) named '([\w.]+)' which was not found")
_NOT_SOURCE = frozenset(("target", "logs", "dbt_packages"))


class ManifestUnusable(Exception):
    """The manifest is missing or stale, or dbt can't parse the project. The message says what to do."""


class ProjectBroken(ManifestUnusable):
    """dbt can't parse the project. The message is dbt's; for a missing source or model it adds file and line."""


def fingerprint(project_dir: Path) -> str:
    """16 hex digits that change when any file of the project changes, or dbt's version."""
    digest = hashlib.sha256(version("dbt-core").encode())
    for file in sorted(_sources(project_dir)):
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        digest.update(f"{file.relative_to(project_dir).as_posix()} {content}\n".encode())
    return digest.hexdigest()[:16]


def _sources(project_dir: Path) -> Iterator[Path]:
    """The project's source files. Doesn't enter the folders that dbt writes, whose files may vanish meanwhile."""
    for path in project_dir.iterdir():
        if path.name not in _NOT_SOURCE:
            below = path.rglob("*") if path.is_dir() else [path]
            yield from (file for file in below if file.is_file() and not file.name.startswith("."))


def load_manifest(project_dir: Path, settings: Settings) -> dict[str, Any]:
    """The manifest, with its relations in the settings' database. If it is missing or stale, builds it in `local`, and
    raises ManifestUnusable elsewhere."""
    wanted = fingerprint(project_dir)
    if _built_from(project_dir) != wanted:
        if settings.environment != "local":
            raise ManifestUnusable(
                f"{_target(project_dir) / 'manifest.json'} is missing, or doesn't match the project's files"
                f" (fingerprint {wanted}). In {settings.environment}, the image's build makes it: run"
                " `data-platform dbt-manifest` there."
            )
        build_manifest(project_dir, settings)
    manifest = json.loads((_target(project_dir) / "manifest.json").read_bytes())
    return _in_database(manifest, settings.snowflake.database)


def build_manifest(project_dir: Path, settings: Settings) -> str:
    """Makes dbt parse the project, without connecting to Snowflake. Returns the fingerprint. Processes that build at
    the same time take turns, and a reader never sees half a manifest. Raises ManifestUnusable with dbt's message."""
    target = _target(project_dir)
    target.mkdir(parents=True, exist_ok=True)
    with _alone(target / ".lock"):
        wanted = fingerprint(project_dir)
        if _built_from(project_dir) == wanted:
            return wanted
        failed = target / "failed.json"
        state = [wanted, *sorted(package.name for package in project_dir.glob("dbt_packages/*"))]
        if failed.exists() and (before := json.loads(failed.read_text()))["state"] == state:
            raise ManifestUnusable(before["message"])  # parsing takes seconds, and every process that loads would
        with tempfile.TemporaryDirectory(prefix=".parse-", dir=target) as scratch:
            try:
                _parse(project_dir, Path(scratch), settings)
            except ProjectBroken as error:
                failed.write_text(json.dumps({"state": state, "message": str(error)}))
                raise
            for name in _BUILT:
                (Path(scratch) / name).replace(target / name)
        (target / "fingerprint").write_text(wanted)
        return wanted


def _parse(project_dir: Path, scratch: Path, settings: Settings) -> None:
    try:
        command = ("parse", "--no-partial-parse")
        run = run_dbt(*command, settings=settings, project_dir=project_dir, target=scratch, seconds=PARSE_SECONDS)
    except subprocess.TimeoutExpired:
        raise ManifestUnusable(
            f"dbt took longer than {PARSE_SECONDS:.0f} s to parse {project_dir} and was killed"
        ) from None
    if run.returncode != 0:
        raise ProjectBroken(f"dbt can't parse {project_dir}:\n{_explained(run.stdout + run.stderr, project_dir)}")


def _explained(output: str, project_dir: Path) -> str:
    """dbt's error without the lines before it, and where the missing source or model is read."""
    message = output.partition("Encountered an error:\n")[2].strip() or output.strip()
    found = _MISSING.search(message)
    if found is None:
        return message
    file, kind, name = found.groups()
    parts = name.split(".") if kind == "source" else [name.split(".")[-1]]
    reads = re.compile(r"\s*,\s*".join(rf"""["']{re.escape(part)}["']""" for part in parts))
    lines = (project_dir / file).read_text(encoding="utf-8").splitlines()
    line = next((number for number, text in enumerate(lines, start=1) if reads.search(text)), 1)
    fix = (
        "No `_sources.yml` has it. If the feed was renamed, correct the model; if it was removed, remove the model too."
        " If the feed is new, run `data-platform dbt-sources`."
        if kind == "source"
        else "No model has this name: correct it, or write the model."
    )
    return f"{message}\n{project_dir / file}:{line}: reads the missing {kind} {name}. {fix}"


def _built_from(project_dir: Path) -> str | None:
    target = _target(project_dir)
    if not all((target / name).exists() for name in (*_BUILT, "fingerprint")):
        return None
    return (target / "fingerprint").read_text()


def _in_database(manifest: dict[str, Any], database: str) -> dict[str, Any]:
    """The manifest with the relations in this database. dbt wrote the database of the environment in which it parsed,
    but one image serves several environments."""
    for node in (*manifest["nodes"].values(), *manifest["sources"].values()):
        built_for = node.get("database")
        if built_for and built_for != database:
            node["database"] = database
            if node.get("relation_name"):
                node["relation_name"] = node["relation_name"].replace(f"{built_for}.", f"{database}.", 1)
    return manifest


def source_tables(manifest: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The source tables that have freshness limits."""
    for source in manifest["sources"].values():
        freshness = source.get("freshness") or {}
        if (freshness.get("warn_after") or {}).get("count") or (freshness.get("error_after") or {}).get("count"):
            yield source


def _target(project_dir: Path) -> Path:
    return project_dir / "target"


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    try:
        lock = FileLock(path, timeout=PARSE_SECONDS + 30).acquire(poll_interval=0.2)
    except Timeout:
        raise ManifestUnusable(f"another process has held the lock {path} for too long; stop that process") from None
    with lock:
        yield
