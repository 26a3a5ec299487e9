"""deploy/compose.yaml as data, with its variables as they are where nobody sets them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from data_platform_tests.deploy.dockerfile import ROOT

FILE = ROOT / "deploy" / "compose.yaml"


def compose(file: Path = FILE) -> dict[str, Any]:
    """The whole file, anchors resolved."""
    document: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return document


def services() -> dict[str, dict[str, Any]]:
    """The services by name."""
    found: dict[str, dict[str, Any]] = compose()["services"]
    return found


def unescaped(words: list[str]) -> list[str]:
    """A command line as compose gives it to a container: `$$` is its way to write `$`."""
    return [word.replace("$$", "$") for word in words]


def shell_words(test: list[str]) -> list[str]:
    """A health check's command line."""
    kind, *words = unescaped(test)
    return words if kind == "CMD" else ["sh", "-c", *words]
