"""The servers that these contract tests share."""

from data_platform_tests.servers.snowflake import snowflake_connection, snowflake_server

__all__ = ["snowflake_connection", "snowflake_server"]
