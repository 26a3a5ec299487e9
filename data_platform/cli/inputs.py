"""What publications and geocoded tables are made from: whether it is there."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from data_platform.feeds.documents import Document
from data_platform.feeds.geocoded import GeocodedSpec
from data_platform.feeds.spec import FeedSpec
from data_platform.publish.spec import Dataset


def unknown_inputs(project: Path, defs: Path, feeds: Sequence[FeedSpec], datasets: Iterable[Dataset]) -> Iterator[str]:
    """The mistakes of `from` and `column`, each with its place: no such model, no such raw table, no such column.
    `project`: dbt's. Columns of models aren't looked at."""
    models = {
        f"{file.relative_to(project / 'models').parts[0]}/{file.stem}"
        for kind in ("sql", "py")
        for file in (project / "models").rglob(f"*.{kind}")
    }
    tables = {f"raw/{feed.name}": feed for feed in feeds}
    for dataset in datasets:
        given = dataset.publication.from_
        if given not in models and not given.startswith("snapshots/"):
            file = defs / "publish" / dataset.target / dataset.name / "defs.yaml"
            yield _mistake(file, ("from",), given, "the dbt project has no model", models)
    for feed in feeds:
        if not isinstance(feed, GeocodedSpec):
            continue
        place = ("tables", _number(feed))
        if feed.from_ not in tables:
            if feed.from_ not in models:
                what = "neither a feed nor a model is called"
                yield _mistake(feed.declared_in, (*place, "from"), feed.from_, what, [*tables, *models])
            continue
        columns = [column.name for column in tables[feed.from_].table_columns]
        if feed.column not in columns and tables[feed.from_].contract.drift != "evolve":
            what = f"{feed.from_} has no column"
            yield _mistake(feed.declared_in, (*place, "column"), feed.column, what, columns)


def _number(feed: GeocodedSpec) -> int:
    """The place of a table in its file's list."""
    listed = Document.read(feed.declared_in).values["attributes"]["tables"]
    return [each["table"] for each in listed].index(feed.table)


def _mistake(file: Path, loc: tuple[str | int, ...], found: str, what: str, there: Iterable[str]) -> str:
    near = difflib.get_close_matches(found, sorted(there), n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return str(Document.read(file).mistake(("attributes", *loc), f"{what} {found}{hint}"))
