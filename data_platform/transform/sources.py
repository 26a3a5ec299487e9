"""Generates dbt's `_sources.yml` files from the feeds' contracts.

A feed's columns are declared once, in its `defs.yaml`. dbt's sources repeat them, and CI checks that they agree. People
write models and their descriptions, so these don't belong here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from data_platform.contract import DELIVERY_ID, EXTRACT_ID, EXTRACTED_AT, RECORD_NUMBER
from data_platform.landing.feed import Expected, FeedRules

HEADER = (
    "# Written from the contracts in data_platform/defs/sources by `data-platform dbt-sources`; edit those instead.\n"
)
_MINUTES = {"hour": 60, "day": 24 * 60}
_ADDED_COLUMNS = (
    (EXTRACT_ID, "varchar", "The extract that brought the row"),
    (EXTRACTED_AT, "timestamp_tz(6)", "When the extract was made"),
    (DELIVERY_ID, "varchar", "The delivery that brought the row"),
    (RECORD_NUMBER, "number(19,0)", "The row's record in the delivered file, from 1"),
)


@dataclass(frozen=True)
class DeclaredFeed:
    """A feed, as declared in its folder's `defs.yaml`."""

    rules: FeedRules
    description: str


@dataclass(frozen=True)
class DeclaredSource:
    """A partner and its feeds, sorted by name."""

    name: str
    description: str
    feeds: tuple[DeclaredFeed, ...]


def declared_sources(partners: Path) -> list[DeclaredSource]:
    """The sources declared below `partners` (`<partner>/<feed>/defs.yaml`). Raises pydantic.ValidationError for an
    invalid feed."""
    return [
        DeclaredSource(
            name=file.parent.name,
            description=_attributes(file)["description"],
            feeds=tuple(
                _feed(feed, _attributes(file)["time_zone"]) for feed in sorted(file.parent.glob("*/defs.yaml"))
            ),
        )
        for file in sorted(partners.glob("*/defs.yaml"))
    ]


def sources_yaml(source: DeclaredSource) -> str:
    """The text of a source's `_sources.yml`."""
    properties = {
        "sources": [
            {
                "name": source.name,
                "description": source.description,
                "schema": f"raw_{source.name}".upper(),
                "tables": [_table(feed) for feed in source.feeds],
            }
        ]
    }
    return HEADER + yaml.safe_dump(properties, sort_keys=False, allow_unicode=True, width=116)


def sources_file(project_dir: Path, source: str) -> Path:
    """The path of a source's `_sources.yml`."""
    return project_dir / "models" / "staging" / source / "_sources.yml"


def outdated(project_dir: Path, sources: Iterable[DeclaredSource]) -> dict[Path, str]:
    """{file: the text it should have} of the files that differ from the contracts; "" if the source is no longer
    declared."""
    wanted = {sources_file(project_dir, source.name): sources_yaml(source) for source in sources}
    present = {
        file: file.read_text(encoding="utf-8") for file in sorted(project_dir.glob("models/staging/*/_sources.yml"))
    }
    changed = {file: text for file, text in wanted.items() if present.get(file) != text}
    return changed | {file: "" for file in present if file not in wanted}


def write_sources(project_dir: Path, sources: Iterable[DeclaredSource]) -> list[Path]:
    """Writes and removes files to match the contracts. Returns the changed files."""
    changed = outdated(project_dir, sources)
    for file, text in changed.items():
        if text:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        else:
            file.unlink()
    return list(changed)


def _attributes(file: Path) -> dict[str, Any]:
    declaration: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return dict(declaration["attributes"])


def _feed(file: Path, time_zone: str) -> DeclaredFeed:
    attributes = _attributes(file)
    rules = {name: value for name, value in attributes.items() if name in FeedRules.model_fields}
    return DeclaredFeed(
        rules=FeedRules.of(
            {**rules, "partner": file.parent.parent.name, "name": file.parent.name, "time_zone": time_zone}
        ),
        description=attributes["description"],
    )


def _table(feed: DeclaredFeed) -> dict[str, Any]:
    rules = feed.rules
    return {
        "name": rules.name,
        "identifier": rules.name.upper(),
        "description": feed.description,
        "config": {
            "loaded_at_field": EXTRACTED_AT,
            "freshness": _freshness(rules.expected),
            "meta": {"dagster": {"asset_key": ["raw", rules.partner, rules.name]}},
        },
        "columns": [
            # Without dbt tests: the check `contract` on the raw asset already counts nulls and repeated keys.
            *(
                {key: column[key] for key in ("name", "data_type", "description")}
                for column in rules.contract.dbt_columns()
            ),
            *({"name": name, "data_type": kind, "description": text} for name, kind, text in _ADDED_COLUMNS),
        ],
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
