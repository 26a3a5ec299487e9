"""Imports the Snowflake connector without the imports that only data frames and AWS identities need."""

from __future__ import annotations

import sys

_OPTIONAL = ("pandas", "botocore")


def import_connector() -> None:
    """Imports the connector as if pandas and botocore weren't installed, which halves the time of its import. It
    imports them where it can, and needs neither to sign in by key pair and fetch rows. Call it while the process has
    one thread: others couldn't import the two meanwhile."""
    hidden = [name for name in _OPTIONAL if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        import snowflake.connector  # noqa: F401
    finally:
        for name in hidden:
            del sys.modules[name]
