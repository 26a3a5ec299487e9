"""Validates `defs.yaml` files against their components' schemas, for `data-platform check`: `dg check yaml` validates
only the last file of each component type, and only the rules that a JSON schema can express."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from data_platform.feeds.documents import DefinitionInvalid, Document


def component_files(root: Path) -> list[Path]:
    """Every `defs.yaml` below a folder, in order."""
    return sorted(root.rglob("defs.yaml"))


def check_files(paths: Iterable[Path]) -> Iterator[tuple[Path, str | None]]:
    """(file, None) for each valid file, (file, message) for each invalid one."""
    for path in paths:
        try:
            document = Document.read(path)
            document.attributes(document.model())
        except DefinitionInvalid as error:
            yield path, str(error)
        else:
            yield path, None
