"""Runs a checkout's code: the environment of its processes, its own `data-platform` commands, and its dbt manifest.
Imports only the standard library."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from data_platform.code.child import TimedOut, output_of, platform_command

INSTALLED = Path(__file__).parents[2]
"""The code of this process: in a container, the image's."""
MANIFEST_SECONDS = 300.0
_PARSED = ("manifest.json", "partial_parse.msgpack", "fingerprint")
_READY = "ready"
"""A file in the project's `target`: the manifest is complete, by the version of dbt that the file names. A checkout
never changes."""


class TreeUnusable(Exception):
    """The commit can't be run; the message holds its own tools' messages."""


def environment_of(tree: Path, inherited: Mapping[str, str]) -> dict[str, str]:
    """The environment of a process that runs a checkout's code: `inherited`, with the checkout's modules first and with
    absolute paths."""
    above = inherited.get("PYTHONPATH", "")
    changed = {"PYTHONPATH": os.pathsep.join([str(tree), *([above] if above else [])])}
    changed["DATA_PLATFORM_STATE_DIR"] = str(state_dir(inherited))
    return {**inherited, **changed}


def state_dir(environment: Mapping[str, str]) -> Path:
    """DATA_PLATFORM_STATE_DIR, with the settings' default."""
    return Path(environment.get("DATA_PLATFORM_STATE_DIR") or ".local").absolute()


def checkouts_root(environment: Mapping[str, str]) -> Path:
    """The folder of checkouts."""
    return state_dir(environment) / "code"


def dbt_project(tree: Path) -> Path | None:
    """The dbt project of a checkout: its root or its folder `dbt_project`, if either is one."""
    for folder in (tree, tree / "dbt_project"):
        if (folder / "dbt_project.yml").is_file():
            return folder
    return None


def bring_manifest(project: Path, tree: Path, environment: Mapping[str, str], seeds: tuple[Path, ...] = ()) -> None:
    """Creates the project's manifest with the code in `tree`, if it is missing. Copies that of a project in `seeds`
    first: the tool reuses it if the fingerprint shows the same files, and saves seconds of parsing. Raises TreeUnusable
    with dbt's messages."""
    from importlib.metadata import version  # takes longer than all other imports of a start

    target = project / "target"
    ready, dbt = target / _READY, version("dbt-core")
    if ready.exists() and ready.read_text() == dbt:
        return
    for seed in seeds:
        if not (target / "fingerprint").exists() and all((seed / "target" / name).is_file() for name in _PARSED):
            target.mkdir(exist_ok=True)
            for name in _PARSED:  # the fingerprint last: it validates the others
                _copy(seed / "target" / name, target / name)
    run_tool(tree, environment, "dbt-manifest", "--project-dir", str(project), seconds=MANIFEST_SECONDS)
    ready.write_text(dbt)


def nodes(project: Path) -> set[str]:
    """The models, tests, seeds and snapshots of the project's manifest: each node's id and folder, which make its asset
    key."""
    manifest = json.loads((project / "target" / "manifest.json").read_bytes())
    return {f"{name} in {'/'.join(node['fqn'][:2])}" for name, node in manifest["nodes"].items()}


def run_tool(tree: Path, environment: Mapping[str, str], *arguments: str, seconds: float) -> str:
    """Returns the output of the checkout's `data-platform <arguments>`. Raises TreeUnusable with its messages if it
    fails."""
    said = f"`data-platform {arguments[0]}`"
    try:
        code, printed, errors = output_of(platform_command(*arguments), environment, seconds=seconds, folder=tree)
    except TimedOut as error:
        raise TreeUnusable(f"{said}: {error}") from None
    if code != 0:
        raise TreeUnusable(f"{said} failed (exit code {code}):\n{excerpt(printed + errors)}")
    return printed


def excerpt(text: str, lines: int = 30) -> str:
    """The most telling part of a tool's output: its end, or the end of the first of several chained exceptions."""
    text = text.partition("\nThe above exception was the direct cause of")[0]
    kept = [line.rstrip() for line in text.splitlines() if line.strip()]
    return "\n".join(([f"({len(kept) - lines} lines before)"] if len(kept) > lines else []) + kept[-lines:])


def _copy(source: Path, to: Path) -> None:
    descriptor, made = tempfile.mkstemp(dir=to.parent)
    os.close(descriptor)
    shutil.copyfile(source, made)
    Path(made).replace(to)
