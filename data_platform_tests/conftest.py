"""Fixtures that any test may ask for. Servers are started only when a test does."""

import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from xdist.scheduler import LoadFileScheduling

from data_platform_tests.benchmarks.feeds import write_project
from data_platform_tests.code.origin import Origin
from data_platform_tests.servers.local_cloud import local_cloud

__all__ = ["local_cloud"]

# A shell that runs the tests in the background has them ignore Ctrl-C, and what they start inherits that. Dagster then
# ignores SIGTERM too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _migrations_are_read_once() -> Iterator[None]:
    """Each Dagster instance on SQLite has alembic import every migration anew, seven times; that took a fifth of the
    tests' time."""
    read, scripts = ScriptDirectory.from_config, dict[str | None, ScriptDirectory]()

    def read_once(config: Config) -> ScriptDirectory:
        place = config.get_main_option("script_location")
        return scripts.get(place) or scripts.setdefault(place, read(config))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScriptDirectory, "from_config", read_once)
        yield


@pytest.fixture
def make_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int, int], Path]]:
    """Makes a Dagster project of so many partners, each with so many feeds, and returns its package's folder. It can be
    imported until the test ends."""
    monkeypatch.syspath_prepend(tmp_path)
    yield lambda partners, feeds: write_project(tmp_path, partners, feeds)
    for name in [name for name in sys.modules if name.split(".")[0] == "town"]:
        del sys.modules[name]


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    """An empty git repository."""
    return Origin.at(tmp_path / "git")


SERVERS = {
    *("local_cloud", "snowflake_server", "account", "warehouse_server"),
    *("postgres_server", "postgis_server", "mariadb_server"),
}
"""The fixtures that start a server. A test that asks for one of them is marked `server`."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the end-to-end tests first, which take longest. Tests with servers get more seconds than others; either limit
    is for tests that hang."""
    items.sort(key=lambda item: not item.get_closest_marker("end_to_end"))
    for item in items:
        if SERVERS & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.server)
        if any(item.get_closest_marker(name) for name in ("server", "end_to_end")):
            item.add_marker(pytest.mark.timeout(3000))


OWN_PLATFORM = {"test_deploys.py", "test_new_user.py", "test_tasks.py", "test_tasks_day.py"}
"""The modules of end_to_end/ that don't share the platform of its conftest.py."""


class OneWorkerPerPlatform(LoadFileScheduling):
    """A worker for each module, and one for all modules that share the end-to-end platform."""

    def _split_scope(self, nodeid: str) -> str:
        folder, _, module = nodeid.partition("::")[0].rpartition("/")
        return folder if folder.endswith("end_to_end") and module not in OWN_PLATFORM else f"{folder}/{module}"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> OneWorkerPerPlatform | None:
    return OneWorkerPerPlatform(config, log) if config.getoption("dist") == "loadfile" else None
