"""Fixtures that any test may ask for. Servers are started only when a test does."""

from data_platform_tests.servers.local_cloud import local_cloud

__all__ = ["local_cloud"]
