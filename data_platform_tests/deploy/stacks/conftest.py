"""One synthesis of both environments, which takes some 15 s of CPU, for all tests of the stacks."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_platform_tests.deploy.stacks.synthesized import Synthesized, synthesize


@pytest.fixture(scope="session")
def cdk(tmp_path_factory: pytest.TempPathFactory) -> Synthesized:
    """The templates of both environments, and what cdk-nag reports. Tests that ask for it are marked `cdk`."""
    return synthesize(tmp_path_factory.mktemp("cdk"))


@pytest.fixture(scope="session", params=["dev", "prod"])
def environment(request: pytest.FixtureRequest) -> str:
    """Each environment's name."""
    return str(request.param)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep these tests out of `make test`."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.cdk)
