"""Which runs `data-platform run --select` makes, of file feeds and of tables of databases."""

from __future__ import annotations

from typing import Any

import click
import dagster as dg
import pytest
from obstore.store import MemoryStore

from data_platform.cli.run.here import ASSET_JOB
from data_platform.cli.run.outcome import RunOutcome
from data_platform.cli.run.selection import Wanted, execute, requested_runs
from data_platform.components.feed_assets import feed_definitions
from data_platform.components.sftp_partner import LANDING
from data_platform.feeds.databases import SqlTableSpec
from data_platform.feeds.files import FileFeedSpec
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


def file_feed(name: str, start: str) -> FileFeedSpec:
    return FileFeedSpec.of(
        {
            "source": "p",
            "table": name,
            "pattern": rf"{name}_(?P<day>\d{{8}})\.csv",
            "readiness": {"settle_seconds": 0},
            "partition": {"start": start},
            "contract": {"columns": [{"name": "id", "type": "string"}]},
        }
    )


FEEDS = [file_feed("a", "2020-01-01"), file_feed("b", "2024-01-01"), file_feed("c", "2020-01-01")]


class Location:
    """Two tables of a database, three file feeds and a mart, of which these keys are selected."""

    feeds = tuple(FEEDS)
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


def bucket_with(*names: str) -> LandingBucket:
    store, no_client = MemoryStore(), None
    for name in names:
        store.put(f"inbound/p/{name}", b"id\n1\n")
    return LandingBucket(store, no_client, "landing")  # type: ignore[arg-type]


def feeds_by_day(bucket: LandingBucket, partition: str | None = None) -> list[tuple[str | None, list[str]]]:
    """The runs of all file feeds, each of which Dagster accepts."""
    selected = [f"raw/p/{each.table}" for each in FEEDS]
    location: Any = Location(*selected)
    runs, _ = requested_runs(location, bucket, "raw/p/*", partition)
    resources = {"lake": None, "warehouse": None, "landing": None}
    definitions = dg.Definitions.merge(
        feed_definitions("", "", FEEDS, LANDING), dg.Definitions(resources=resources)
    ).get_repository_def()
    for run in runs:
        job = definitions.get_job(ASSET_JOB).get_subset(asset_selection=set(run.assets))
        assert job.partitions_def and job.partitions_def.has_partition_key(str(run.partition))
    return [(run.partition, [key.path[-1] for key in run.assets if key.path[0] == "raw"]) for run in runs]


def test_feeds_whose_days_begin_at_different_dates_are_made_by_runs_of_their_own() -> None:
    bucket = bucket_with("b_20260607.csv", "a_20260607.csv", "c_20260607.csv", "c_20220101.csv")
    assert feeds_by_day(bucket) == [("2022-01-01", ["c"]), ("2026-06-07", ["a", "c"]), ("2026-06-07", ["b"])]


def test_a_given_day_is_made_of_the_feeds_that_have_it() -> None:
    assert feeds_by_day(bucket_with(), "2026-06-07") == [("2026-06-07", ["a", "c"]), ("2026-06-07", ["b"])]
    assert feeds_by_day(bucket_with(), "2022-01-01") == [("2022-01-01", ["a", "c"])]
    with pytest.raises(click.BadParameter, match=r"before the first day of p/[ac], 2020-01-01"):
        feeds_by_day(bucket_with(), "2019-12-31")


def test_after_a_failed_day_the_other_days_are_loaded_and_nothing_is_built_on_a_part_of_them() -> None:
    days = [Wanted([], f"2026-06-0{number}", landing=True) for number in (1, 2, 3)]
    models = Wanted([], None, landing=False)
    made: list[Wanted] = []

    def one(run: Wanted) -> RunOutcome:
        made.append(run)
        return RunOutcome("r", success=run is not days[0])

    assert [outcome.success for outcome in execute([*days, models], one)] == [False, True, True]
    assert made == days
