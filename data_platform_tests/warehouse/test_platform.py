"""What the platform's own objects say to Snowflake."""

from __future__ import annotations

import re
from typing import Any
from unittest.mock import MagicMock, patch

from snowflake.connector import SnowflakeConnection

from data_platform.warehouse import platform
from data_platform.warehouse.platform import MIGRATIONS, ensure_platform
from data_platform_tests.warehouse.feed import DATABASE


def said(*stages: dict[str, Any], **options: Any) -> list[str]:
    """The statements of `schema apply`, where these stages are there."""
    connection = MagicMock(spec=SnowflakeConnection)
    cursor = connection.cursor.return_value.__enter__.return_value
    cursor.fetchall.return_value = list(stages)
    with patch.object(platform, "migrate", return_value=[]):
        ensure_platform(connection, DATABASE, "lake", migrations=MIGRATIONS, **options)
    return [str(call.args[0]) for call in cursor.execute.call_args_list]


def stage(url: str = "s3://lake/", integration: str | None = "LAKE_READER", name: str = "LAKE") -> dict[str, Any]:
    return {"name": name, "url": url, "storage_integration": integration}


def made(statements: list[str]) -> list[str]:
    return [
        sql.replace('"DATA_PLATFORM"."PLATFORM"."LAKE"', "LAKE")
        for sql in statements
        if re.match("(CREATE OR REPLACE|ALTER) STAGE", sql)
    ]


def test_the_file_format_takes_every_text_as_it_is_also_where_an_earlier_release_made_it() -> None:
    (sql,) = [sql for sql in said(stage()) if "FILE FORMAT" in sql]
    assert sql.startswith("CREATE OR REPLACE")
    assert "NULL_IF = ()" in sql  # unset, Snowflake makes NULL of a partner's text \N


def test_a_stage_that_is_right_is_left_alone() -> None:
    assert made(said(stage(), stage("s3://other/", name="OTHER"), storage_integration="lake_reader")) == []
    assert made(said(stage(integration=None))) == []


def test_a_stage_of_another_bucket_or_integration_is_altered_so_that_its_grants_stay() -> None:
    right = """ALTER STAGE LAKE SET URL = 's3://lake/' STORAGE_INTEGRATION = "LAKE_READER\""""
    for there in (stage("s3://earlier/"), stage(integration=None), stage(integration="EARLIER")):
        assert made(said(there, storage_integration="lake_reader")) == [right]


def test_a_missing_stage_is_made() -> None:
    create = "CREATE OR REPLACE STAGE LAKE URL = 's3://lake/'"
    assert made(said(storage_integration="lake_reader")) == [f'{create} STORAGE_INTEGRATION = "LAKE_READER"']
    assert made(said()) == made(said(stage("s3://earlier/", integration=None))) == [create]
