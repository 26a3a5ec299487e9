"""Fixtures that any test may ask for. Servers are started only when a test does."""

import signal

from data_platform_tests.servers.local_cloud import local_cloud

__all__ = ["local_cloud"]

# A shell that runs the tests in the background has them ignore Ctrl-C, and what they start inherits that. Dagster then
# ignores SIGTERM too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
