"""A whole local cloud of a test run's own, on free ports, in a temporary folder.

def test_partner_delivers(local_cloud: Mapping[str, str]) -> None:
    settings = Settings.from_environment(local_cloud)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

import data_platform
from data_platform.environment import RunsOn
from data_platform.local_cloud.ports import PREFERRED
from data_platform.local_cloud.spec import CloudSpec
from data_platform.local_cloud.supervisor import LocalCloud
from data_platform_tests.servers.ports import own_port

DECLARED = Path(data_platform.__file__).parent / "defs"


def private_cloud(
    state_dir: Path, defs_dir: Path = DECLARED, runs_on: RunsOn = "process", own: Mapping[str, str] | None = None
) -> LocalCloud:
    """A local cloud that shares nothing with the developer's, nor with another test's. Not started."""
    ports = {name: own_port() for name in PREFERRED}
    return LocalCloud(replace(CloudSpec(state_dir, defs_dir, runs_on=runs_on, own=own or {}), preferred_ports=ports))


@pytest.fixture(scope="session")
def local_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """The environment variables that reach a running local cloud, as `data-platform up` writes them.

    `DATA_PLATFORM_STATE_DIR` is its state directory; `keys/partners/<partner>` in it signs in as a partner.
    """
    cloud = private_cloud(tmp_path_factory.mktemp("local-cloud"))
    try:
        yield cloud.up()
    finally:
        cloud.down()
