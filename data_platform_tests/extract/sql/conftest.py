"""A database, and the reading of a table of it."""

from data_platform_tests.servers.mariadb import maria, mariadb_server
from data_platform_tests.servers.postgres import database, postgres_server

__all__ = ["database", "maria", "mariadb_server", "postgres_server"]
