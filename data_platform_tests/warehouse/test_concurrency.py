"""Loaders at the same time, in processes of their own: each delivery counts exactly once."""

from __future__ import annotations

import multiprocessing
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

from data_platform.environment import Settings
from data_platform.feeds.spec import LoadMode
from data_platform.lake.extracts import Lake
from data_platform.lake.store import open_bucket
from data_platform.warehouse.connection import connect
from data_platform_tests.warehouse.feed import CONTRACT, Delivered, Feed, load, spec_of

LOADERS = 3


def load_each(
    environment: Mapping[str, str], partner: str, mode: LoadMode, deliveries: Sequence[Delivered]
) -> list[str]:
    """Loads each delivery by itself, in this process; returns the outcomes."""
    settings = Settings.from_environment(environment)
    lake = Lake(open_bucket(settings, settings.lake_bucket))
    with connect(settings) as connection:
        results = [load(connection, lake, spec_of(partner, CONTRACT, mode), [each]) for each in deliveries]
    return [row.status for result in results for row in result.outcomes.values()]


def load_new_columns(environment: Mapping[str, str], partner: str, deliveries: Mapping[str, Delivered]) -> None:
    """Loads deliveries, each with a column of its own that it adds to the table first, in this process."""
    settings = Settings.from_environment(environment)
    lake = Lake(open_bucket(settings, settings.lake_bucket))
    with connect(settings) as connection:
        for column, delivery in deliveries.items():
            feed = Feed(lake, connection, CONTRACT.evolved((column,)), partner=partner)
            feed.prepare()
            feed.load(delivery)


def load_at_once(environment: Mapping[str, str], feed: Feed, shares: Sequence[Sequence[Delivered]]) -> list[list[str]]:
    with ProcessPoolExecutor(LOADERS, mp_context=multiprocessing.get_context("spawn")) as pool:
        futures = [pool.submit(load_each, environment, feed.partner, feed.mode, share) for share in shares]
        return [future.result(timeout=600) for future in futures]


def test_the_same_deliveries_loaded_by_several_at_once_count_once(local_cloud: Mapping[str, str], feed: Feed) -> None:
    feed.prepare()
    deliveries = [feed.deliver(f"{n}.csv", {f"m{n}": n}, rejects=1) for n in range(6)]
    outcomes = load_at_once(local_cloud, feed, [deliveries] * LOADERS)
    assert outcomes == [["loaded"] * 6] * LOADERS
    assert feed.rows() == {f"m{n}": n for n in range(6)}
    assert feed.outcomes() == {"loaded": 6}
    for table in ("CURRENT_LOADS", "REJECTS"):
        (count,) = feed.query(f"SELECT COUNT(*) FROM PLATFORM.{table} WHERE SOURCE = %s", feed.partner)
        assert count == (6,)


def test_the_same_content_in_several_files_at_once_is_loaded_once(local_cloud: Mapping[str, str], feed: Feed) -> None:
    feed.prepare()
    twins = [feed.deliver(f"{n}.csv", {"m1": 1}) for n in range(LOADERS)]
    outcomes = load_at_once(local_cloud, feed, [[twin] for twin in twins])
    assert sorted(outcome for (outcome,) in outcomes) == ["duplicate", "duplicate", "loaded"]
    assert feed.rows() == {"m1": 1}


def test_versions_of_one_file_at_once_leave_the_last_that_landed(local_cloud: Mapping[str, str], feed: Feed) -> None:
    feed.mode = "merge"
    feed.prepare()
    versions = [feed.deliver("a.csv", {"m1": n, f"only {n}": n}) for n in range(LOADERS)]
    load_at_once(local_cloud, feed, [[version] for version in reversed(versions)])
    assert feed.rows() == {"m1": 2, "only 2": 2}
    assert feed.outcomes() == {"loaded": 1, "superseded": LOADERS - 1}
    stale = replace(versions[0].settlement)
    assert feed.load(replace(versions[0], settlement=stale)).rows_loaded == 0


def test_a_load_goes_on_while_others_add_columns_to_its_table(local_cloud: Mapping[str, str], feed: Feed) -> None:
    feed.prepare()
    shares: list[dict[str, Delivered]] = [{} for _ in range(LOADERS)]
    for number, share in enumerate(shares):
        for turn in range(5):
            column = f"added_{number}_{turn}"
            feed.contract = CONTRACT.evolved((column,))
            share[column] = feed.deliver(f"{column}.csv", {column: turn})
    with ProcessPoolExecutor(LOADERS, mp_context=multiprocessing.get_context("spawn")) as pool:
        for future in [pool.submit(load_new_columns, local_cloud, feed.partner, share) for share in shares]:
            future.result(timeout=600)
    assert feed.rows() == {column: turn for share in shares for turn, column in enumerate(share)}
