"""The session of a Snowflake administrator, in which `bootstrap` and `rotate-key` work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from data_platform.environment import Settings

if TYPE_CHECKING:
    from snowflake.connector.cursor import DictCursor

KEY_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def require_account(given: Settings) -> None:
    """Raises click.ClickException in `local`."""
    if given.environment == "local":
        raise click.ClickException(
            "The local Snowflake has no roles, users or integrations. Set DATA_PLATFORM_ENVIRONMENT=dev and the"
            " account's settings; `bootstrap --sql` shows the statements."
        )


@contextmanager
def signed_in(given: Settings, admin: str, admin_key: Path, role: str) -> Iterator[DictCursor]:
    """A cursor of the administrator's session, with this role."""
    from snowflake.connector import DictCursor

    from data_platform.warehouse.connection import connect_as

    with connect_as(given, admin, admin_key) as connection, connection.cursor(DictCursor) as cursor:
        cursor.execute(f"USE ROLE {role}")
        yield cursor
