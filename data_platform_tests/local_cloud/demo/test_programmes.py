"""The community programmes: what the doubles hold is what the answer key counts, read as their `defs.yaml` says."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from data_platform.extract.web.client import Address, ApiClient, ApiFailed
from data_platform.extract.web.source import WebSource, api_of
from data_platform.feeds.declared import declared_feeds
from data_platform.feeds.web_apis import AirtableTableSpec, KnackObjectSpec, WebTableSpec
from data_platform.local_cloud.demo.programmes import GRANTS, PROGRAMMES, SESSIONS, Programmes, make
from data_platform.local_cloud.web.rates import Rate
from data_platform.local_cloud.web.server import WebApis
from data_platform.local_cloud.web.stored import StoredApis, descriptions, name_of, user_of
from data_platform_tests.local_cloud.demo.conftest import DEFS
from data_platform_tests.local_cloud.web.apis import Clock

FEEDS: dict[str, WebTableSpec] = {
    feed.name: feed for feed in declared_feeds(DEFS) if isinstance(feed, AirtableTableSpec | KnackObjectSpec)
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Programmes]:
    folder = tmp_path_factory.mktemp("made")
    return folder, make(folder, seed=20260307)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, WebApis]]:
    folder = tmp_path_factory.mktemp("served")
    for name, tables in descriptions(FEEDS.values()).items():
        (folder / f"{name}.json").write_text(json.dumps({"key": "local", "tables": tables}))
    with WebApis([], further=StoredApis(folder)).running() as web:
        yield folder, web


def read(feed: WebTableSpec, web: WebApis, key: str = "local") -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows and rejects, at the pace of a clock that doesn't wait."""
    name, clock = name_of(feed), Clock()
    address = Address.of(f"http://{user_of(name)}:{key}@127.0.0.1:{web.port}/{name}")
    with ApiClient(api_of(feed), address, clock=clock, sleep=clock.sleep) as client:
        source = WebSource(feed, lambda: nullcontext(client))
        (slice_,) = source.plan(since=None, partition=None, unfinished=())
        with source.open(slice_) as reading:
            chunks = list(reading.chunks())
    rejects = [row for each in chunks if each.rejects for row in each.rejects.to_pylist()]
    return [row for each in chunks for row in each.rows.to_pylist()], rejects


def test_a_declared_table_is_there_and_empty_until_somebody_fills_it(
    served: tuple[Path, WebApis], made: tuple[Path, Programmes]
) -> None:
    (folder, web), (files, programmes) = served, made
    assert all(read(feed, web) == ([], []) for feed in FEEDS.values())
    with pytest.raises(ApiFailed, match="answered 401"):
        read(FEEDS[PROGRAMMES], web, "wrong")
    for stored in programmes.stored:
        os.link(files / stored.path, folder / f"{stored.name}.records.json")


@pytest.fixture
def filled(served: tuple[Path, WebApis], made: tuple[Path, Programmes]) -> WebApis:
    (folder, web), (files, programmes) = served, made
    for stored in programmes.stored:
        target = folder / f"{stored.name}.records.json"
        if not target.exists():
            os.link(files / stored.path, target)
    return web


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """The doubles count requests by the second of a clock that goes on by itself."""
    monkeypatch.setattr(Rate, "exceeded", lambda self, now: False)


@pytest.mark.parametrize("name", [PROGRAMMES, GRANTS, SESSIONS])
def test_the_key_counts_what_a_read_finds(name: str, filled: WebApis, made: tuple[Path, Programmes]) -> None:
    total = made[1].totals[name]
    rows, rejects = read(FEEDS[name], filled)
    assert (len(rows), len(rejects)) == (total.rows_loaded, total.rejects)
    assert len(rows) + len(rejects) > 1_000
    assert {(json.loads(each["raw_text"])["id"], each["column_name"]) for each in rejects} == {
        (planted.row, planted.column) for planted in total.rejected
    }


def test_a_late_field_is_sparse_and_nested_values_are_json(filled: WebApis) -> None:
    programmes, _ = read(FEEDS[PROGRAMMES], filled)
    grants, _ = read(FEEDS[GRANTS], filled)
    assert sum(row["waitlist_from"] is not None for row in programmes) == 12
    assert sum(row["final_report"] is not None for row in grants) == 9
    first = programmes[0]
    assert json.loads(first["flyers"])[0]["filename"] == "flyer.pdf"
    assert json.loads(programmes[2]["partners"]) == ["rec00000000000004", "rec00000000000005"]
    assert first["active"] is False and programmes[1]["active"] is True
    (undecided,) = {row["decided_on"] for row in grants if row["status"] == "applied"}
    assert undecided is None, "Knack's empty text is no date"


def test_the_same_seed_gives_the_same_bytes(made: tuple[Path, Programmes], tmp_path: Path) -> None:
    assert make(tmp_path, seed=20260307).stored == made[1].stored
