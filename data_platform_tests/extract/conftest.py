"""The local cloud's Snowflake and lake, as the warehouse's tests have them."""

from data_platform_tests.warehouse.conftest import cloud, connection, lake

__all__ = ["cloud", "connection", "lake"]
