"""What the platform's own objects say to Snowflake."""

from __future__ import annotations

from typing import Any
from unittest.mock import MagicMock, patch

import pytest
from snowflake.connector import SnowflakeConnection

from data_platform.warehouse import platform
from data_platform.warehouse.platform import MIGRATIONS, StageRefused, ensure_platform
from data_platform_tests.warehouse.feed import DATABASE


def said(*stages: dict[str, Any], **options: Any) -> list[str]:
    """The statements of `schema apply`, where these stages are there."""
    connection = MagicMock(spec=SnowflakeConnection)
    cursor = connection.cursor.return_value.__enter__.return_value
    cursor.fetchall.return_value = list(stages)
    with patch.object(platform, "migrate", return_value=[]):
        ensure_platform(connection, DATABASE, "lake", migrations=MIGRATIONS, **options)
    return [call.args[0] for call in cursor.execute.call_args_list]


def stage(url: str = "s3://lake/", integration: str | None = "LAKE_READER", name: str = "LAKE") -> dict[str, Any]:
    return {"name": name, "url": url, "storage_integration": integration}


def made(statements: list[str]) -> list[str]:
    return [sql.partition(" STAGE ")[2] for sql in statements if "CREATE OR REPLACE STAGE" in sql]


def test_the_file_format_takes_every_text_as_it_is_also_where_an_earlier_release_made_it() -> None:
    (sql,) = [sql for sql in said(stage()) if "FILE FORMAT" in sql]
    assert sql.startswith("CREATE OR REPLACE")
    assert "NULL_IF = ()" in sql  # unset, Snowflake makes NULL of a partner's text \N


def test_a_stage_that_is_right_is_left_alone() -> None:
    assert made(said(stage(), stage("s3://other/", name="OTHER"), signs_in=True)) == []
    assert made(said(stage(), signs_in=True, storage_integration="lake_reader")) == []


def test_a_stage_of_another_bucket_or_integration_is_made_anew() -> None:
    right = """"DATA_PLATFORM"."PLATFORM"."LAKE" URL = 's3://lake/' STORAGE_INTEGRATION = "LAKE_READER\""""
    assert made(said(stage("s3://earlier/"), signs_in=True)) == [right]
    assert made(said(stage(integration=None), signs_in=True, storage_integration="lake_reader")) == [right]
    assert made(said(signs_in=True, storage_integration="LAKE_READER")) == [right]


@pytest.mark.parametrize("there", [[], [stage(integration=None)]])
def test_a_stage_without_an_integration_is_refused_where_the_bucket_needs_one(there: list[dict[str, Any]]) -> None:
    with pytest.raises(StageRefused, match="--storage-integration NAME"):
        said(*there, signs_in=True)
    assert made(said(*there)) == ([] if there else [""""DATA_PLATFORM"."PLATFORM"."LAKE" URL = 's3://lake/'"""])
