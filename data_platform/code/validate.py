"""Validates a commit before it is served: its packages are installed, and its own `data-platform check` passes. Loading
it is `prepare`'s part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from data_platform.code.tree import TreeUnusable, run_tool

CHECK_SECONDS = 120.0
_SHOWN = 8


def check_packages(tree: Path) -> None:
    """Raises TreeUnusable if `requirements/base.txt` pins a package that isn't installed: a checkout brings code, not
    packages."""
    file = tree / "requirements" / "base.txt"
    try:
        wrong = list(_missing(file)) if file.exists() else []
    except (OSError, ValueError) as error:  # a folder, or no UTF-8
        raise TreeUnusable(f"its requirements/base.txt can't be read: {error}") from None
    if wrong:
        more = f", and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        raise TreeUnusable(
            f"it needs packages that the image does not have: build a new image.\n{', '.join(wrong[:_SHOWN])}{more}"
        )


def check_definitions(tree: Path, environment: Mapping[str, str]) -> None:
    """Raises TreeUnusable with the messages of the checkout's own `data-platform check`, if it fails."""
    run_tool(tree, environment, "check", seconds=CHECK_SECONDS)


def _missing(file: Path) -> Iterator[str]:
    for line in file.read_text(encoding="utf-8").splitlines():
        text = line.partition(" \\")[0].partition(" #")[0].strip().removesuffix("\\").strip()
        if not text or text.startswith(("#", "-")):
            continue
        try:
            wanted = Requirement(text)
        except InvalidRequirement as error:
            yield f"{text} ({error})"
            continue
        if wanted.marker is not None and not wanted.marker.evaluate():
            continue
        try:
            present = version(wanted.name)
        except PackageNotFoundError:
            yield f"{text} (not installed)"
            continue
        if not wanted.specifier.contains(present, prereleases=True):
            yield f"{text} (installed: {present})"
