"""Loads `defs/`. In `dev` and `prod` one invalid `defs.yaml` doesn't take the others down with it."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg

from data_platform.components.sftp_partner import broken_definition


def load_components(package: Path, *, tolerant: bool) -> dg.Definitions:
    """All definitions of `defs/`. Where one is wrong: raises, or when `tolerant` leaves it out and puts an asset in its
    place that says what is wrong."""
    tree = dg.ComponentTree.for_project(package)
    try:
        with _collector_resting():
            return tree.build_defs(tree.defs_module_path)
    except Exception:
        if not tolerant:
            raise
    parts = []
    root = tree.defs_module_path
    for path in sorted(root.rglob("defs.yaml")):
        if any((parent / "defs.yaml").exists() for parent in path.parent.parents if parent.is_relative_to(root)):
            continue  # a partner loads its feeds
        try:
            parts.append(dg.ComponentTree.for_project(package).build_defs(path.parent))
        except Exception as error:
            key = ["invalid", *path.parent.relative_to(root).parts]
            parts.append(dg.Definitions(assets=[broken_definition(key, error)]))
    return dg.Definitions.merge(*parts)


@contextmanager
def _collector_resting() -> Iterator[None]:
    """Definitions are made to stay. A collector that looks for garbage among them again and again, while they become
    more and more, finds none and doubles the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()
