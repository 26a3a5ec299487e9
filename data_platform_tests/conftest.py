"""Fixtures that any test may ask for. Servers are started only when a test does."""

import signal

import pytest

from data_platform_tests.servers.local_cloud import local_cloud

__all__ = ["local_cloud"]

# A shell that runs the tests in the background has them ignore Ctrl-C, and what they start inherits that. Dagster then
# ignores SIGTERM too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Gives tests with servers more seconds than the others have (pyproject.toml). Either limit is for what hangs: what
    is waited for has limits of its own, which a slow machine lengthens."""
    for item in items:
        if any(item.get_closest_marker(name) for name in ("server", "end_to_end")):
            item.add_marker(pytest.mark.timeout(3000))
