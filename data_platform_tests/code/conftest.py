"""Repositories of a test's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_platform_tests.code.origin import Origin


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    """An empty repository."""
    return Origin.at(tmp_path / "git")
