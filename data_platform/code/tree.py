"""A checkout as code that runs: the environment of its processes, and the manifest of its dbt project. Only the
standard library is imported."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from data_platform.code.child import TimedOut, output_of, platform_command

INSTALLED = Path(__file__).parents[2]
"""The code that this process runs, which an image was built with."""
MANIFEST_SECONDS = 300.0
_PARSED = ("manifest.json", "partial_parse.msgpack", "fingerprint")
_READY = "ready"
"""In the project's `target`: the manifest is of exactly this commit, by the version of dbt that the file holds. A
project in a checkout never changes."""


class TreeUnusable(Exception):
    """The commit can't be run; the message holds what its own tools said."""


def environment_of(tree: Path, inherited: Mapping[str, str]) -> dict[str, str]:
    """The environment of a process that runs a checkout's code: `inherited`, with the checkout's modules before all
    others, and paths that don't change their meaning in another folder."""
    above = inherited.get("PYTHONPATH", "")
    changed = {"PYTHONPATH": os.pathsep.join([str(tree), *([above] if above else [])])}
    changed["DATA_PLATFORM_STATE_DIR"] = str(state_dir(inherited))
    return {**inherited, **changed}


def state_dir(environment: Mapping[str, str]) -> Path:
    """DATA_PLATFORM_STATE_DIR as the settings have it."""
    return Path(environment.get("DATA_PLATFORM_STATE_DIR") or ".local").absolute()


def checkouts_root(environment: Mapping[str, str]) -> Path:
    """Where checkouts are kept."""
    return state_dir(environment) / "code"


def dbt_project(tree: Path) -> Path | None:
    """The dbt project of a checkout: its root, or the folder `dbt_project`."""
    for folder in (tree, tree / "dbt_project"):
        if (folder / "dbt_project.yml").is_file():
            return folder
    return None


def bring_manifest(project: Path, tree: Path, environment: Mapping[str, str], seeds: tuple[Path, ...] = ()) -> None:
    """Sees to it that the project's manifest is there, by the tools of the code in `tree`. One of the projects `seeds`
    is taken over where it is of the same files, which the tool finds by its fingerprint: parsing takes seconds. Raises
    TreeUnusable with dbt's words."""
    from importlib.metadata import version  # takes longer than all else that a start imports

    target = project / "target"
    ready, dbt = target / _READY, version("dbt-core")
    if ready.exists() and ready.read_text() == dbt:
        return
    for seed in seeds:
        if not (target / "fingerprint").exists() and all((seed / "target" / name).is_file() for name in _PARSED):
            target.mkdir(exist_ok=True)
            for name in _PARSED:  # the fingerprint last, which makes the others count
                _copy(seed / "target" / name, target / name)
    run_tool(tree, environment, "dbt-manifest", "--project-dir", str(project), seconds=MANIFEST_SECONDS)
    ready.write_text(dbt)


def nodes(project: Path) -> set[str]:
    """What assets and checks are made of in the project's manifest: each node's id and folder."""
    manifest = json.loads((project / "target" / "manifest.json").read_bytes())
    return {f"{name} in {'/'.join(node['fqn'][:2])}" for name, node in manifest["nodes"].items()}


def run_tool(tree: Path, environment: Mapping[str, str], *arguments: str, seconds: float) -> str:
    """What `data-platform <arguments>` of the checkout prints. Raises TreeUnusable, with what it said, if it fails."""
    said = f"`data-platform {arguments[0]}`"
    try:
        code, printed, errors = output_of(platform_command(*arguments), environment, seconds=seconds, folder=tree)
    except TimedOut as error:
        raise TreeUnusable(f"{said}: {error}") from None
    if code != 0:
        raise TreeUnusable(f"{said} failed (exit code {code}):\n{excerpt(printed + errors)}")
    return printed


def excerpt(text: str, lines: int = 30) -> str:
    """What tells most of what a tool said: its end, or that of the first exception where others followed from it."""
    text = text.partition("\nThe above exception was the direct cause of")[0]
    kept = [line.rstrip() for line in text.splitlines() if line.strip()]
    return "\n".join(([f"({len(kept) - lines} lines before)"] if len(kept) > lines else []) + kept[-lines:])


def _copy(source: Path, to: Path) -> None:
    descriptor, made = tempfile.mkstemp(dir=to.parent)
    os.close(descriptor)
    shutil.copyfile(source, made)
    Path(made).replace(to)
