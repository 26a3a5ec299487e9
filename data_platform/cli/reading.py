"""A Snowflake session for commands that only read rows, without the imports that only data frames need. Only for a
command with one thread: while the connector is imported, no thread can import pandas or botocore."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from data_platform.environment import Settings

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

_OPTIONAL = ("pandas", "botocore")


def connect_to_read(wanted: Settings, query_tag: str) -> SnowflakeConnection:
    """A session, which the caller closes; see `warehouse.connection.connect`. Fetches rows, not data frames."""
    with _not_installed(*_OPTIONAL):
        import snowflake.connector  # noqa: F401

    from data_platform.warehouse.connection import connect

    return connect(wanted, query_tag=query_tag)


@contextmanager
def _not_installed(*modules: str) -> Iterator[None]:
    """Makes imports of these modules fail, as if they weren't installed. The connector imports pandas and boto3 where
    it can, which takes twice as long as all the rest of it, and needs neither to read rows."""
    hidden = [name for name in modules if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
