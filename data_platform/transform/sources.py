"""Generates dbt's `_sources.yml` files from the feeds' contracts.

A feed's columns are declared once, in its `defs.yaml`. dbt's sources repeat them, and CI checks that they agree. People
write models and their descriptions, so these don't belong here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from data_platform.contract import EXTRACTED_AT
from data_platform.feeds.declared import DeclaredSource
from data_platform.feeds.spec import Expected, FeedSpec
from data_platform.warehouse.table import PLATFORM

HEADER = (
    "# Written from the contracts in data_platform/defs/sources by `data-platform dbt-sources`; edit those instead.\n"
)
_SOURCE = re.compile(r"""source\(\s*["'](\w+)["']\s*,\s*["'](\w+)["']""")
_FOLDERS = ("models", "snapshots", "tests", "macros", "analyses")
_MINUTES = {"hour": 60, "day": 24 * 60}


def sources_yaml(source: DeclaredSource[Any]) -> str:
    """The text of a source's `_sources.yml`."""
    properties = {
        "sources": [
            {
                "name": source.name,
                "description": source.declaration.description,
                "schema": f"raw_{source.name}".upper(),
                "tables": [_table(feed) for feed in source.feeds()],
            }
        ]
    }
    return HEADER + yaml.safe_dump(properties, sort_keys=False, allow_unicode=True, width=116)


def sources_file(project_dir: Path, source: str) -> Path:
    """The path of a source's `_sources.yml`."""
    return project_dir / "models" / "staging" / source / "_sources.yml"


def outdated(project_dir: Path, sources: Iterable[DeclaredSource[Any]]) -> dict[Path, str]:
    """{file: the text it should have} of the files that differ from the contracts; "" if the source is no longer
    declared."""
    wanted = {sources_file(project_dir, source.name): sources_yaml(source) for source in sources}
    present = {
        file: file.read_text(encoding="utf-8") for file in sorted(project_dir.glob("models/staging/*/_sources.yml"))
    }
    changed = {file: text for file, text in wanted.items() if present.get(file) != text}
    return changed | {file: "" for file in present if file not in wanted}


def readers_of_undeclared(project_dir: Path, sources: Iterable[DeclaredSource[Any]]) -> Iterator[str]:
    """A line for each place where a model reads a table of a generated `_sources.yml` that no feed declares any more:
    the feed was renamed or removed, and `write_sources` is yet to remove the table, after which dbt can't parse."""
    declared = {(source.name, feed.table) for source in sources for feed in source.feeds()}
    generated = {file.parent.name for file in project_dir.glob("models/staging/*/_sources.yml")}
    for file, number, read in _reads(project_dir.glob("models/**/*.sql")):
        if read[0] in generated and read not in declared:
            yield (
                f"{file}:{number}: model {file.stem} reads the source {'.'.join(read)}, which no feed declares."
                " If the feed was renamed, correct the model; if it was removed, remove the model too."
            )


def readers(project_dir: Path, source: str, table: str) -> Iterator[tuple[Path, int]]:
    """(file, line) of each place in the project's SQL and snapshots that reads a feed's table."""
    files = (*(f"{folder}/**/*.sql" for folder in _FOLDERS), "snapshots/**/*.yml", "snapshots/**/*.yaml")
    for file, number, read in _reads(file for pattern in files for file in project_dir.glob(pattern)):
        if read == (source, table):
            yield file, number


def _reads(files: Iterable[Path]) -> Iterator[tuple[Path, int, tuple[str, str]]]:
    """(file, line, (source, table)) of each place that reads a source's table."""
    for file in sorted(files):
        for number, text in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
            yield from ((file, number, read) for read in _SOURCE.findall(text))


def write_sources(project_dir: Path, sources: Iterable[DeclaredSource[Any]], *, only: Path | None = None) -> list[Path]:
    """Writes and removes files to match the contracts (`only`: this file). Returns the changed files."""
    changed = {file: text for file, text in outdated(project_dir, sources).items() if only in (None, file)}
    for file, text in changed.items():
        if text:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        else:
            file.unlink()
    return list(changed)


def _table(feed: FeedSpec) -> dict[str, Any]:
    return {
        "name": feed.table,
        "identifier": feed.table.upper(),
        "description": feed.description,
        "config": {
            **_loaded_at(feed),
            "freshness": _freshness(feed.expected),
            "meta": {"dagster": {"asset_key": ["raw", feed.source, feed.table]}},
        },
        # Without dbt tests: the check `contract` on the raw asset already counts nulls and repeated keys.
        "columns": [
            {"name": column.name, "data_type": column.snowflake_type.lower(), "description": column.description}
            for column in feed.table_columns
        ],
    }


def _loaded_at(feed: FeedSpec) -> dict[str, Any]:
    """Where dbt finds when the table was last loaded. A snapshot without changes adds no version to a history, so that
    only the ledger knows of it."""
    if feed.load_mode != "history":
        return {"loaded_at_field": EXTRACTED_AT}
    return {
        "loaded_at_query": f"""select max(LOADED_AT) from "{{{{ target.database }}}}"."{PLATFORM}"."LOADS\""""
        f""" where SOURCE = '{feed.source}' and TABLE_NAME = '{feed.table}'"""
    }


def _freshness(expected: Expected | None) -> dict[str, Any] | None:
    """dbt's freshness limits: warn if one file is missing, fail if two are. None for a feed without `expected`."""
    if expected is None:
        return None
    period = _MINUTES[expected.every]
    return {
        "warn_after": {"count": period + expected.within_minutes, "period": "minute"},
        "error_after": {"count": 2 * period + expected.within_minutes, "period": "minute"},
    }
