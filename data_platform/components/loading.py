"""Loads `defs/`. In `dev` and `prod` it leaves out invalid definitions and loads all others."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import dagster as dg

from data_platform.components.invalid import broken_definition


class Loaded(NamedTuple):
    """The definitions of `defs/`. `complete`: no definition was left out."""

    definitions: dg.Definitions
    complete: bool


def load_components(package: Path, *, tolerant: bool) -> Loaded:
    """All definitions of `defs/`. An invalid one raises, or, when `tolerant`, is replaced by an asset whose description
    is the error. Python that can't be imported and files that are not YAML always raise: Dagster can't load anything
    beside them."""
    tree = dg.ComponentTree.for_project(package)
    tree.find_root_decl()
    try:
        with _collector_resting():
            return Loaded(tree.build_defs(tree.defs_module_path), complete=True)
    except Exception:
        if not tolerant:
            raise
    parts = _parts(package, tree.defs_module_path, tree.defs_module_path)
    return Loaded(dg.Definitions.merge(*parts), complete=False)


def _parts(package: Path, path: Path, root: Path) -> Iterator[dg.Definitions]:
    """The definitions of a file or folder. If they don't load together, loads its parts one by one, to leave out only
    the invalid ones."""
    try:
        yield dg.ComponentTree.for_project(package).build_defs(path)
    except Exception as error:
        inside = [] if path.is_file() or (path / "defs.yaml").exists() else sorted(path.iterdir())
        below = [each for each in inside if each.suffix == ".py" or (each.is_dir() and each.name != "__pycache__")]
        for each in below:
            yield from _parts(package, each, root)
        if not below:
            key = ["invalid", *path.relative_to(root).with_suffix("").parts]
            yield dg.Definitions(assets=[broken_definition(key, error)])


@contextmanager
def _collector_resting() -> Iterator[None]:
    """Turns the garbage collector off while definitions are built. They live as long as the process, so collecting
    frees nothing but doubles the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()
