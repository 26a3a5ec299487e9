"""The steps that remove a feed, which a partner's removal shares. What partners sent, and the extracts, are kept unless
the caller asks otherwise."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from data_platform.cli.change import Step
from data_platform.cli.feed.common_steps import dbt_sources_step, history_step, other_mentions, readers_notes
from data_platform.cli.feed.place import Place, execute, existing, of_files, shown
from data_platform.cli.output import count, size
from data_platform.contract import quoted
from data_platform.feeds.documents import Document
from data_platform.feeds.edit import lines_of_table, replace_text, without_lines
from data_platform.feeds.files import FileFeedSpec
from data_platform.feeds.spec import FeedSpec
from data_platform.feeds.tables import TableSpec
from data_platform.lake.moving import delete_extracts, forget_unloaded, prefix_of, stored
from data_platform.landing.bucket import INBOUND, Pending
from data_platform.landing.feed_index import FeedIndex
from data_platform.landing.feed_name import delete_files, files, quarantine, records, take_out_records
from data_platform.warehouse.describe import rows_of
from data_platform.warehouse.rebuild import table_beside
from data_platform.warehouse.table import DOES_NOT_EXIST

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

NO_FEED = "unmatched"
"""Under this name the ledger has a removed partner's files of no feed."""


class Feed(NamedTuple):
    """A feed by its name. `spec`: None if nothing declares it any more."""

    source: str
    table: str
    spec: FeedSpec | None = None

    @property
    def name(self) -> str:
        return f"{self.source}/{self.table}"


def removal_of_feed(place: Place, name: str, *, delete_kept: bool) -> tuple[list[Step], list[str]]:
    """The steps, and what is left to others. Raises click.UsageError and click.ClickException."""
    declared = place.feeds()
    source, _, table = name.partition("/")
    feed = Feed(source, table, declared.get(name))
    place.require_no_run([(source, table)])
    pending = pending_files(place, source, [each for each in declared.values() if each.source == source]).get(table, {})
    declaration = _declaration(feed.spec)
    of_its_files, kept = file_steps(place, [feed], delete_kept)
    steps = [
        quarantine_step(place, pending, feed.name, table, feed.spec.time_zone if feed.spec else "UTC"),
        *table_steps(place, source, [feed]),
        *of_its_files,
        history_step(place, (source, table), None),
        declaration,
        dbt_sources_step(place, source, declaration),
    ]
    if feed.spec is None and not any(step.lines for step in steps):
        raise click.UsageError(f"unknown feed {name!r}; the feeds are {', '.join(declared)}")
    return steps, notes_of(place, [feed], kept)


def pending_files(place: Place, partner: str, feeds: Iterable[FeedSpec]) -> dict[str, dict[Pending, list[str]]]:
    """{feed: {its file in inbound: the keys of those that accompany it}}, of a partner with these feeds."""
    by_name = {feed.table: feed for feed in feeds if isinstance(feed, FileFeedSpec)}
    index, folder = FeedIndex(by_name.values()), f"{INBOUND}{partner}/"
    listed = {each.key: each for page in place.bucket.pages(prefix=folder) for each in page}
    found: dict[str, dict[Pending, list[str]]] = {}
    for each in listed.values():
        matching = index.match(partner, each.file_name)
        feed = matching[0] if len(matching) == 1 else None
        companion = feed.readiness.companion(each.file_name) if feed else None
        beside = [f"{folder}{companion}"] if f"{folder}{companion}" in listed else []
        found.setdefault(feed.table if feed else NO_FEED, {})[each] = beside
    accompany = {key for files_ in found.values() for beside in files_.values() for key in beside}
    unmatched = found.pop(NO_FEED, {})
    if left := {each: beside for each, beside in unmatched.items() if each.key not in accompany}:
        found[NO_FEED] = left
    return found


def quarantine_step(place: Place, pending: Mapping[Pending, Sequence[str]], of: str, feed: str, time_zone: str) -> Step:
    """Quarantines pending files as `feed`'s, because `of` is removed. `time_zone`: the partner's."""

    def apply() -> None:
        with place.session() as connection:
            quarantine(
                connection,
                place.database,
                place.bucket,
                place.lake,
                {each.key: beside for each, beside in pending.items()},
                feed=feed,
                reason=f"{of} was removed before the file was read",
                time_zone=time_zone,
            )

    lines = [of_files("to quarantine, with a receipt", list(pending))] if pending else []
    return Step(f"pending files of {feed}", lines, apply)


def table_steps(place: Place, source: str, feeds: Sequence[Feed]) -> Iterator[Step]:
    """The ledger, the tables, and the schema if nothing is left in it."""
    for feed in feeds:
        with place.session() as connection:
            held = records(connection, place.database, feed.source, feed.table)
        lines = [
            f"the rows of {feed.name} are recorded as taken out (records of loads and deliveries: {held.in_use});"
            " loads are refused from then on"
        ]
        lines += [f"delete rejects of {feed.name} ({held.rejects})"] if held.rejects else []
        if held.in_use or held.rejects or (feed.spec is not None and not held.retired):
            yield Step(f"ledger of {feed.name}", lines, partial(_take_out, place, feed))
    names = [place.table(feed.source, feed.table) for feed in feeds]
    names += [table_beside(table) for table in names]
    schema = f"{quoted(place.database)}.{quoted(f'RAW_{source}'.upper())}"
    with place.session() as connection:
        there = existing(connection, names)
        others = _objects(connection, schema)
        rows = {table: rows_of(connection, table) for table in there}
    drops = [f"DROP TABLE {table}" for table in there]
    shown = [f"DROP TABLE {table};  -- {count(rows[table])} rows" for table in there]
    yield Step("table", shown, partial(execute, place, *drops))
    if others is not None and not others - {table.table for table in there}:
        told = f"DROP SCHEMA {schema.replace(chr(34), '')};  -- nothing is left in it"
        yield Step("schema", [told], partial(_drop_empty, place, schema))


def _drop_empty(place: Place, schema: str) -> None:
    """Drops a schema, unless another feed has made a table in it since the plan."""
    with place.session() as connection:
        left = _objects(connection, schema)
    if left is not None and not left:
        execute(place, f"DROP SCHEMA {schema}")


def _take_out(place: Place, feed: Feed) -> None:
    place.require_no_run([feed[:2]])
    with place.session() as connection:
        take_out_records(connection, place.database, feed.source, feed.table)


def _objects(connection: SnowflakeConnection, schema: str) -> set[str] | None:
    """The names of a schema's tables and views. None if there is no such schema."""
    from snowflake.connector import DictCursor, ProgrammingError

    try:
        with connection.cursor(DictCursor) as cursor:
            cursor.execute(f"SHOW OBJECTS IN SCHEMA {schema}")
            return {str(row["name"]) for row in cursor.fetchall()}
    except ProgrammingError as refused:
        if refused.errno in DOES_NOT_EXIST:
            return None
        raise


def file_steps(place: Place, feeds: Sequence[Feed], delete_kept: bool) -> tuple[list[Step], dict[str, list[str]]]:
    """The steps that delete files and extracts: all if `delete_kept`, else the marks of extracts that nobody loads. And
    {name of a feed: what is kept of it}."""
    steps: list[Step] = []
    kept: dict[str, list[str]] = {}
    for feed in feeds:
        there, settled = stored(place.lake, *feed[:2]), files(place.bucket, *feed[:2])
        extracts, folders = prefix_of(*feed[:2]), f"archive/ and quarantine/{feed.name}/"
        lines: list[str] = []
        if delete_kept:
            if there.objects:
                lines.append(f"delete {extracts} (extracts: {count(there.extracts)}, {size(there.bytes)})")
            if settled:
                lines.append(of_files(f"delete {folders}", settled))
            steps.append(Step(f"files of {feed.name}", lines, partial(_delete, place, feed)))
            continue
        if there.unloaded:
            lines.append(f"extracts that aren't loaded yet ({there.unloaded}) won't be")
        steps.append(Step(f"lake of {feed.name}", lines, partial(forget_unloaded, place.lake, *feed[:2])))
        left = kept.setdefault(feed.name, [])
        if there.objects:
            left.append(f"kept until `retention` deletes them: {extracts} (extracts: {count(there.extracts)})")
        if settled:
            left.append(of_files(f"kept: {folders}", settled))
    return steps, kept


def _delete(place: Place, feed: Feed) -> None:
    delete_extracts(place.lake, *feed[:2])
    delete_files(place.bucket, *feed[:2])


def _declaration(feed: FeedSpec | None) -> Step:
    """A partner's feed is a folder, a table that the platform reads an entry of its source's file."""
    if feed is None:
        return folders_step([])
    if not isinstance(feed, TableSpec):
        return folders_step([feed.declared_in.parent])
    file = feed.declared_in
    document = Document.read(file)
    if len(document.values["attributes"]["tables"]) == 1:
        return folders_step([file.parent])
    gone = lines_of_table(document, feed.table)
    text = without_lines(document.text, gone)

    return Step(
        "YAML", [f"delete lines {gone.first} to {gone.last} of {shown(file)}"], partial(replace_text, file, text)
    )


def folders_step(folders: Sequence[Path]) -> Step:
    """Deletes folders of YAML, with whatever else is in them, each file named."""
    lines = [f"delete {shown(file)}" for folder in folders for file in sorted(folder.rglob("*")) if file.is_file()]

    def apply() -> None:
        for folder in folders:
            shutil.rmtree(folder)

    return Step("YAML", lines, apply)


def notes_of(place: Place, feeds: Sequence[Feed], kept: Mapping[str, Sequence[str]]) -> list[str]:
    """What is left to others, and what is kept of each feed."""
    notes: list[str] = []
    for feed in feeds:
        notes += readers_notes(place, feed.source, feed.table, "change or remove the model")
        notes += other_mentions(place, feed.source, feed.table)
        notes += kept.get(feed.name, ())
    notes.append("kept: the ledger's records, and the receipts that are written")
    return notes
