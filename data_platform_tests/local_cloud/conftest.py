"""A local cloud that the tests of its supervisor may stop, kill and move about: one per worker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from data_platform.local_cloud.supervisor import LocalCloud
from data_platform_tests.servers.local_cloud import private_cloud


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    cloud = private_cloud(tmp_path_factory.mktemp("supervised"))
    yield cloud
    cloud.down()


@pytest.fixture
def cloud(shared: LocalCloud) -> LocalCloud:
    """A cloud that is up, whatever the test before did to it."""
    shared.up()
    return shared
