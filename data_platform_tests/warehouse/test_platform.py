"""What the platform's own objects say to Snowflake."""

from __future__ import annotations

from unittest.mock import MagicMock

from snowflake.connector import SnowflakeConnection

from data_platform.warehouse.platform import MIGRATIONS, ensure_platform
from data_platform_tests.warehouse.feed import DATABASE


def test_the_file_format_takes_every_text_as_it_is() -> None:
    connection = MagicMock(spec=SnowflakeConnection)
    ensure_platform(connection, DATABASE, "lake", migrations=MIGRATIONS)
    said = [call.args[0] for call in connection.cursor.return_value.__enter__.return_value.execute.call_args_list]
    (made,) = [sql for sql in said if "FILE FORMAT" in sql]
    assert "NULL_IF = ()" in made  # unset, Snowflake makes NULL of a partner's text \N
