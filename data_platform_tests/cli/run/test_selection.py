"""Which runs `data-platform run --select` makes of tables of databases."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest
from obstore.store import MemoryStore

from data_platform.cli.run.selection import requested_runs
from data_platform.feeds.databases import SqlTableSpec
from data_platform.landing.bucket import LandingBucket

PERMITS, ADDRESSES = (
    SqlTableSpec.of(
        {
            "source": "records",
            "table": table,
            "connection": "records",
            "load_mode": "replace",
            "contract": {"columns": [{"name": "id", "type": "string"}]},
        }
    )
    for table in ("permits", "addresses")
)


class Location:
    """Two tables of a database and a mart, of which these keys are selected."""

    feeds = ()
    tables = (PERMITS, ADDRESSES)

    def __init__(self, *keys: str) -> None:
        self.keys = [dg.AssetKey(key.split("/")) for key in keys]

    def select(self, _: str) -> list[dg.AssetKey]:
        return self.keys


@pytest.mark.parametrize(
    ("selected", "made"),
    [
        (["raw/records/permits"], [["lake/records/permits", "raw/records/permits"]]),
        (["lake/records/permits"], [["lake/records/permits"]]),
        (
            ["marts/city", "raw/records/permits", "raw/records/addresses"],
            [
                *(["lake/records/addresses", "lake/records/permits", "raw/records/addresses", "raw/records/permits"],),
                ["marts/city"],
            ],
        ),
    ],
)
def test_a_table_is_read_before_it_is_loaded_and_before_models_are_built(
    selected: list[str], made: list[list[str]]
) -> None:
    location: Any = Location(*selected)
    no_client: Any = None
    bucket = LandingBucket(MemoryStore(), no_client, "landing")
    runs, feeds = requested_runs(location, bucket, "any", None)
    assert [[key.to_user_string() for key in run.assets] for run in runs] == made
    assert all((run.partition, run.landing) == (None, False) for run in runs)
    assert "records/permits" in feeds
