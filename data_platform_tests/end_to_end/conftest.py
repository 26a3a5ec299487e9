"""One platform for the end-to-end tests that share it; the demo's files have gone through it, twice.

Their modules run in one worker: `OneWorkerPerPlatform` in the tests' conftest.py sees to it.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from data_platform.local_cloud.demo.generate import SMALL, generate
from data_platform.local_cloud.demo.key import AnswerKey
from data_platform_tests.end_to_end.dev_server import DevServer
from data_platform_tests.end_to_end.platform import Platform
from data_platform_tests.servers.local_cloud import private_cloud

LEDGER = (
    *("PLATFORM.CURRENT_DELIVERIES", "PLATFORM.CURRENT_LOADS", "PLATFORM.REJECTS"),
    "PLATFORM.GEOCODED_ADDRESSES",
    "PLATFORM.PUBLICATIONS",
)
RAW = (
    "RAW_HARBOR_WATER.METER_READINGS",
    "RAW_MERIDIAN_PARKING.PARKING_SESSIONS",
    "RAW_CLEAR_AIR.AIR_QUALITY",
    "RAW_CLEAR_AIR.STATIONS",
    "RAW_CITY_RECORDS.ADDRESSES",
    "RAW_CITY_RECORDS.PERMITS",
    "RAW_CITY_RECORDS.VIOLATIONS",
    "RAW_CITY_RECORDS.SERVICE_REQUESTS",
    "RAW_CITY_RECORDS.ASSESSMENTS",
    "RAW_CITY_RECORDS.PARKS",
    "RAW_ADDRESS_SEARCH.SERVICE_REQUESTS",
    "RAW_COMMUNITY_PROGRAMMES.PROGRAMMES",
    "RAW_COMMUNITY_GRANTS.GRANTS",
    "RAW_COMMUNITY_GRANTS.SESSIONS",
)
MARTS = tuple(
    f"MARTS.{name}"
    for name in (
        "CITY_DAILY",
        "DIM_STATIONS",
        "FCT_AIR_QUALITY_DAILY",
        "FCT_METER_READINGS_DAILY",
        "FCT_PARKING_DAILY",
        "FCT_SERVICE_REQUESTS",
        "GRANTS_BY_NEIGHBORHOOD",
        "NEIGHBORHOODS",
        "PERMITS_BY_NEIGHBORHOOD",
    )
)
Tables = Mapping[str, list[dict[str, Any]]]


@dataclass(frozen=True)
class DemoRun:
    """One `data-platform run`: how it ended, how long it took, and every row there was after it."""

    ended: subprocess.CompletedProcess[str]
    seconds: float
    tables: Tables


@dataclass(frozen=True)
class Demo:
    """The demo run once, and once again."""

    key: AnswerKey
    first: DemoRun
    second: DemoRun


@pytest.fixture(scope="session")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the platform's Python processes write the hosts that they contact."""
    folder = tmp_path_factory.mktemp("watched")
    shutil.copy(Path(__file__).parent / "watching" / "sitecustomize.py", folder)
    return folder


@pytest.fixture(scope="package")
def platform(watched: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A platform on a local cloud of these tests. Nothing has landed yet, unless a test asked for `demo`."""
    cloud = private_cloud(tmp_path_factory.mktemp("platform"))
    try:
        yield Platform.on({**cloud.up(), "PYTHONPATH": str(watched)})
    finally:
        cloud.down()


@pytest.fixture(scope="package")
def demo(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """The demo, run twice."""
    key = generate(tmp_path_factory.mktemp("answer-key"), SMALL)
    return Demo(key, _run(platform), _run(platform))


def _run(platform: Platform) -> DemoRun:
    began = time.monotonic()
    ended = platform.command("data-platform", "run", seconds=900)
    seconds = time.monotonic() - began
    assert ended.returncode in (0, 3), ended.stdout + ended.stderr
    return DemoRun(ended, seconds, platform.snapshot([*LEDGER, *RAW, *MARTS]))


@pytest.fixture(scope="package")
def dev(platform: Platform, demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevServer]:
    """`data-platform dev`: the webserver, the daemon with its sensors, the code server."""
    server = DevServer.start(platform, tmp_path_factory.mktemp("dev") / "dev.log")
    try:
        server.wait_until_ready()
        yield server
    finally:
        server.stop()
