"""The doctor's probes of this machine: packages, time zones, disk, dbt's files, the local cloud's parts."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

from data_platform.cli.doctor.finding import Finding, Probe, State
from data_platform.cli.output import size
from data_platform.cli.project import DBT_PROJECT
from data_platform.environment import Settings

_LITTLE_DISK = 2 * 10**9
_NO_DISK = 3 * 10**8


def python(settings: Settings) -> Iterator[Finding]:
    """The interpreter's version, against the package's requirement."""
    from packaging.specifiers import SpecifierSet

    wanted = metadata.metadata("data-platform")["Requires-Python"] or ""
    version = ".".join(str(part) for part in sys.version_info[:3])
    if version in SpecifierSet(wanted):
        yield Finding("Python", "ok", f"{version}, expected {wanted}")
    else:
        yield Finding(
            "Python", "failed", f"{version}, expected {wanted}", "create .venv again with a Python in that range"
        )


def packages(settings: Settings) -> Iterator[Finding]:
    """Every installed package that pyproject.toml pins, against its pin."""
    from packaging.requirements import Requirement

    pinned = wrong = 0
    for text in metadata.requires("data-platform") or []:
        requirement = Requirement(text)
        extra = requirement.marker is not None and not requirement.marker.evaluate({"extra": ""})
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            if not extra:
                wrong += 1
                yield Finding("packages", "failed", f"{requirement.name} is not installed", "make install")
            continue
        if requirement.specifier and version not in requirement.specifier:
            wrong += 1
            found = f"{requirement.name} is {version}, expected {requirement.specifier}"
            yield Finding("packages", "warning", found, "make install")
        pinned += bool(requirement.specifier)
    if not wrong:
        yield Finding("packages", "ok", f"{pinned} packages have the versions that pyproject.toml pins")


def time_zone(settings: Settings) -> Iterator[Finding]:
    """The system's or tzdata's zones."""
    ZoneInfo(settings.time_zone)
    yield Finding("time zones", "ok", f"{len(available_timezones())} known, {settings.time_zone} among them")


def disk(settings: Settings) -> Iterator[Finding]:
    """Free disk space, for extracts and, in local, for the local cloud."""
    place = settings.state_dir if settings.state_dir.exists() else Path()
    free = shutil.disk_usage(place).free
    state: State = "ok" if free > _LITTLE_DISK else "warning" if free > _NO_DISK else "failed"
    fix = "" if state == "ok" else f"free some space, or set DATA_PLATFORM_STATE_DIR (now {settings.state_dir})"
    yield Finding("disk", state, f"{size(free)} free in {place.absolute()}", fix)


def dbt_manifest(settings: Settings) -> Iterator[Finding]:
    """Whether the manifest, from which definitions are loaded, is current."""
    from data_platform.transform.manifest import fingerprint

    project = settings.dbt_code.project_dir or DBT_PROJECT
    if not (project / "dbt_project.yml").is_file():
        fix = "set DATA_PLATFORM_DBT_PROJECT_DIR to the folder of dbt_project.yml"
        yield Finding("dbt manifest", "failed", f"{project} is not a dbt project", fix)
        return
    built, failed = project / "target" / "fingerprint", project / "target" / "failed.json"
    if not built.exists():
        found = "there is no manifest yet"
    elif built.read_text() != fingerprint(project):
        found = "the manifest is out of date"
    else:
        yield Finding("dbt manifest", "ok", "is up to date")
        return
    if failed.exists() and (broken := json.loads(failed.read_text()))["state"][0] == fingerprint(project):
        yield Finding("dbt manifest", "failed", broken["message"], "correct the project; data-platform check")
        return
    local = settings.environment == "local"
    fix = (
        "nothing: it is built when definitions are loaded"
        if local
        else "run `data-platform dbt-manifest` in the image's build"
    )
    if settings.dbt_code.project_dir and not local:
        fix = f"data-platform dbt-manifest --project-dir {project}"
    yield Finding("dbt manifest", "warning" if local else "failed", found, fix)


def local_parts(settings: Settings) -> Iterator[Finding]:
    """The processes of the local cloud."""
    from data_platform.local_cloud.commands import declared_cloud

    parts = declared_cloud(None).status()
    if not parts:
        yield Finding("local cloud", "failed", f"not started in {settings.state_dir}", "data-platform up")
    for part in parts:
        ports = ", ".join(f"{name} {port}" for name, port in part.ports.items())
        state: State = "ok" if part.state == "up" else "failed"
        fix = "" if state == "ok" else "data-platform up"
        yield Finding(f"local cloud: {part.part}", state, f"{part.state} ({ports})", fix)


def runs(settings: Settings) -> Iterator[Finding]:
    """Whether runs are processes or tasks, and with which image."""
    if settings.runs_on == "process":
        yield Finding("runs", "ok", "are processes of the code server")
        return
    found = f"are tasks of cluster {settings.ecs.cluster}, with the code server's image"
    if settings.run_image:
        found = f"are tasks of cluster {settings.ecs.cluster}, image {settings.run_image}"
    if settings.ecs.cluster is None:
        fix = "data-platform up --ecs" if settings.environment == "local" else "set DATA_PLATFORM_ECS_CLUSTER"
        yield Finding("runs", "failed", "should be tasks, but no cluster is set", fix)
    else:
        yield Finding("runs", "ok", found)


MACHINE: tuple[tuple[str, Probe], ...] = (
    ("Python", python),
    ("packages", packages),
    ("time zones", time_zone),
    ("disk", disk),
    ("dbt manifest", dbt_manifest),
    ("runs", runs),
)
PARTS: tuple[tuple[str, Probe], ...] = (("local cloud", local_parts),)
