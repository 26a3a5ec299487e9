"""A process that is killed amid a publication leaves one whole version, and the next run publishes and accounts for the
new one, once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import Any

from data_platform.environment import Settings
from data_platform.lake.store import open_bucket
from data_platform.publish import ledger, rows
from data_platform.publish.carto.client import CartoClient
from data_platform.publish.carto.target import CartoTarget
from data_platform.publish.files.target import FilesTarget
from data_platform.publish.publish import publish
from data_platform.publish.spec import CartoPublication, Dataset, FilesPublication
from data_platform.warehouse.connection import connect
from data_platform_tests.boundaries import kill_process, killed_before
from data_platform_tests.forks import Forks, forks
from data_platform_tests.publish.conftest import Account, Mart, files, trees

__all__ = ["forks"]

AMID_THE_ROWS = "amid the rows"


def _as_carto(mart: str) -> Dataset:
    return trees(**{"from": f"marts/{mart}", "indexes": (), "columns": ("id", "name")})


def run(environment: Mapping[str, str], mart: str, url: str | None, before: int | str | None) -> None:
    """A publication in a process of its own, which is killed before an effect; to files, or to the account at the
    URL."""
    settings = Settings.from_environment(environment)
    dataset = files(mart) if url is None else _as_carto(mart)
    rows.BATCH_ROWS = 1
    if before == AMID_THE_ROWS:
        CartoTarget._lines = _killed_amid(CartoTarget._lines)  # type: ignore[method-assign]
    given = dataset.publication
    with connect(settings) as connection, killed_before(before, kill_process):
        if isinstance(given, FilesPublication):
            target: Any = FilesTarget(open_bucket(settings, settings.lake_bucket), dataset.name, given)
            publish(connection, settings.snowflake.database, dataset, target, run_id="r")
            return
        assert url is not None and isinstance(given, CartoPublication)
        with closing(CartoClient(url)) as client:
            target = CartoTarget(client, dataset.name, given)
            publish(connection, settings.snowflake.database, dataset, target, run_id="r")


def _killed_amid(lines: Callable[..., Any]) -> Callable[..., Iterator[bytes]]:
    def some(*given: Any) -> Iterator[bytes]:
        yield next(iter(lines(*given)))
        kill_process()

    return some


def _recorded(mart: Mart, dataset: Dataset) -> list[tuple[str, int | None]]:
    with mart.connection.cursor() as cursor:
        found = ledger.history(cursor, mart.database, dataset.id)
    return [(each.outcome, each.rows_published) for each in found if each.source == f"marts/{mart.name}"]


def test_a_process_killed_amid_a_publication_to_carto_leaves_one_whole_version(
    forks: Forks, local_cloud: Mapping[str, str], mart: Mart, embedded: Account
) -> None:
    """SIGKILL before the stage is made, amid its rows, before the gates, the swap, and the record of it."""
    given = (dict(local_cloud), mart.name, embedded.url)
    assert forks.ended(run, *given, None) == 0
    for number, effect in enumerate((2, AMID_THE_ROWS, 4, 5, "INSERT INTO"), 1):
        mart.run(f"UPDATE {mart.sql} SET NAME = 'Elm {number}'")
        embedded.clock.sleep(60)
        assert forks.killed(run, *given, effect)
        swapped = effect == "INSERT INTO"
        names = embedded.published("SELECT DISTINCT name FROM trees WHERE name LIKE 'Elm _'")
        assert names == ([(f"Elm {number if swapped else number - 1}",)] if swapped or number > 1 else [])
        assert forks.ended(run, *given, None) == 0
        assert embedded.published("SELECT count(*), min(name), max(name) FROM trees") == [
            (3, f"Elm {number}", f"Elm {number}")
        ]
        assert embedded.tables() == {"trees", "trees__previous"}
    assert _recorded(mart, _as_carto(mart.name)) == [("published", 3)] * 6


def test_a_process_killed_amid_a_publication_to_files_leaves_one_whole_version(
    forks: Forks, local_cloud: Mapping[str, str], mart: Mart, cloud: Settings
) -> None:
    """SIGKILL before a file, before the pointer, before older versions are removed, and before the record of it."""
    given, dataset = (dict(local_cloud), mart.name, None), mart.files()
    assert isinstance(dataset.publication, FilesPublication)
    target = FilesTarget(open_bucket(cloud, cloud.lake_bucket), mart.name, dataset.publication)
    assert forks.ended(run, *given, None) == 0
    for number, effect in enumerate((".geojson", "current.json", "delete", "INSERT INTO"), 1):
        before = target.current()
        mart.run(f"UPDATE {mart.sql} SET NAME = 'Elm {number}'")
        assert forks.killed(run, *given, effect)
        assert (target.current() == before) == (effect in (".geojson", "current.json"))
        assert forks.ended(run, *given, None) == 0
        now = target.current()
        assert now is not None and before is not None and now.stamp != before.stamp
    assert _recorded(mart, dataset) == [("published", 3)] * 5
