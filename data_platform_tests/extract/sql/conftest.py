"""A database, and the reading of a table of it."""

from data_platform_tests.servers.postgres import database, postgres_server

__all__ = ["database", "postgres_server"]
