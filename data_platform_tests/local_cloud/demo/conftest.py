"""The demo's files at the small scale, made once, and the feeds as their `defs.yaml` declare them."""

from __future__ import annotations

from pathlib import Path

import pytest

import data_platform
from data_platform.feeds.declared import declared_feeds
from data_platform.feeds.files import FileFeedSpec
from data_platform.local_cloud.demo.generate import generate
from data_platform.local_cloud.demo.key import AnswerKey

DEFS = Path(data_platform.__file__).parent / "defs"
DEMO = ("harbor_water", "meridian_parking", "clear_air")


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, AnswerKey]:
    folder = tmp_path_factory.mktemp("demo")
    return folder, generate(folder)


@pytest.fixture(scope="session")
def feeds() -> dict[str, FileFeedSpec]:
    """The demo's feeds by `<partner>/<feed>`."""
    return {feed.name: feed for feed in declared_feeds(DEFS) if isinstance(feed, FileFeedSpec) and feed.source in DEMO}
