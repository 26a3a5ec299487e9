"""docs/history.md: its YAML is a feed, and its table and its queries are what the feed's snapshots give."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pytest

from data_platform.feeds.databases import SqlTableSpec
from data_platform.feeds.declared import declared_feeds
from data_platform.lake.extracts import Lake
from data_platform.lake.manifest import ExtractKey
from data_platform.warehouse.load import load_extracts
from data_platform.warehouse.schema import apply_schema, plan_changes
from data_platform.warehouse.table import raw_table
from data_platform_tests.warehouse.in_process import DATABASE, InProcess, in_process

PAGE = (Path(__file__).parents[2] / "docs" / "history.md").read_text(encoding="utf-8")
DAYS: list[dict[int, str]] = [{1: "Ann", 2: "Cem"}, {1: "Bob", 2: "Cem"}, {1: "Ann", 2: "Cem"}, {2: "Cem"}]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    """The page's feed, with a snapshot of each day."""
    file = tmp_path_factory.mktemp("defs") / "sources" / "databases" / "city_records" / "defs.yaml"
    file.parent.mkdir(parents=True)
    (text,) = blocks("yaml")
    file.write_text(text, encoding="utf-8")
    (feed,) = declared_feeds(file.parents[3])
    assert isinstance(feed, SqlTableSpec)
    with in_process(tmp_path_factory.mktemp("page")) as (connection, lake):
        session = cast("Any", connection)
        apply_schema(session, plan_changes(raw_table(DATABASE, feed.source, feed.table), (), feed.table_columns))
        for number, rows in enumerate(DAYS, start=1):
            load_extracts(session, DATABASE, feed, [_snapshot(lake, feed, number, rows)], lake=lake)
        yield connection


def _snapshot(lake: Lake, feed: SqlTableSpec, day: int, rows: dict[int, str]) -> Any:
    schema = feed.contract.arrow_schema
    batch = pa.RecordBatch.from_pydict({"licence_id": list(rows), "holder": list(rows.values())}, schema=schema)
    return lake.write_extract(
        ExtractKey(feed.source, feed.table, f"day{day}"),
        schema,
        [batch],
        contract_hash=feed.contract.hash,
        effective_at=datetime(2026, 3, day, tzinfo=UTC),
    )


def test_the_table_has_the_versions_that_the_page_shows(loaded: InProcess) -> None:
    (shown,) = blocks("text")
    columns, *rows = (line.split() for line in shown.splitlines())
    found = loaded.cursor().execute(
        f"SELECT {', '.join(columns)} FROM raw_city_records.licences ORDER BY licence_id, _valid_from"
    )
    assert [[_text(value) for value in row if value is not None] for row in found.fetchall()] == rows


def test_the_queries_are_of_now_of_a_day_and_of_when_a_row_was_seen_last(loaded: InProcess) -> None:
    answers = [loaded.cursor().execute(sql).fetchall() for sql in blocks("sql")]
    assert [sorted(rows) for rows in answers] == [
        [(2, "Cem")],
        [(1, "Bob"), (2, "Cem")],
        [(2, "Cem", datetime(2026, 3, 4, tzinfo=UTC))],
    ]


def _text(value: Any) -> str:
    return (
        value.date().isoformat()
        if isinstance(value, datetime)
        else str(value).replace("True", "true").replace("False", "false")
    )
