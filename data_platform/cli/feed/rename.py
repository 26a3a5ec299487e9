"""The steps that rename a feed: its rows, its ledger and its files stay."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import click

from data_platform.cli.change import Step
from data_platform.cli.feed.common_steps import dbt_sources_step, history_step, other_mentions, readers_notes
from data_platform.cli.feed.place import Place, execute, existing, of_files, shown
from data_platform.cli.output import count, size
from data_platform.feeds.documents import Document
from data_platform.feeds.edit import replace_text, with_table_renamed
from data_platform.feeds.files import FileFeedSpec
from data_platform.feeds.spec import FeedSpec
from data_platform.feeds.tables import TableSpec
from data_platform.lake.moving import copy_extracts, delete_extracts, prefix_of, stored
from data_platform.landing.feed_name import copy_files, files, records, rename_records
from data_platform.warehouse.rebuild import table_beside

_NAME = re.compile(r"[a-z][a-z0-9_]{0,127}")


def renaming(place: Place, name: str, to: str) -> tuple[list[Step], list[str]]:
    """The steps, and what is left to others. Raises click.UsageError and click.ClickException."""
    source, _, table = name.partition("/")
    declared = place.feeds()
    if not _NAME.fullmatch(to):
        raise click.UsageError(
            f"{to!r} can't be a feed's name; expected lower-case letters, digits and _, a letter first"
        )
    if name in declared and f"{source}/{to}" in declared:
        raise click.UsageError(f"{source}/{to} is a feed already; expected a name that no feed has")
    old, new = place.table(source, table), place.table(source, to)
    with place.session() as connection:
        there = existing(connection, [old, new, table_beside(old)])
        ledger = records(connection, place.database, source, table)
    if name not in declared and (ledger.became != to or f"{source}/{to}" not in declared):
        raise click.UsageError(f"unknown feed {name!r}; the feeds are {', '.join(declared)}")
    if old in there and new in there:
        raise click.UsageError(
            f"{new} exists already: expected a table name that is free. Drop or rename that table first"
        )
    place.require_no_run([(source, table), (source, to)])
    feed = _renamed(declared.get(name) or declared[f"{source}/{to}"], table, to)
    extracts, kept = stored(place.lake, source, table), files(place.bucket, source, table)
    from_, into = prefix_of(source, table), prefix_of(source, to)
    all_files = [
        *(
            [f"{from_} -> {into} (extracts: {count(extracts.extracts)}, {size(extracts.bytes)})"]
            if extracts.objects
            else []
        ),
        *([of_files(f"archive/ and quarantine/{source}/{table}/ -> {to}/", kept)] if kept else []),
    ]

    def copy(delete: bool = False) -> None:
        copy_extracts(place.lake, source, table, to)
        with place.session() as connection:
            copy_files(place.bucket, connection, place.database, source, table, to, delete=delete)

    def change_ledger() -> None:
        place.require_no_run([(source, table)])
        with place.session() as connection:
            rename_records(connection, place.database, source, table, to)

    def delete() -> None:
        copy(delete=True)
        delete_extracts(place.lake, source, table)

    held = f"records of loads: {ledger.loads}, of deliveries: {ledger.deliveries}, of rejects: {ledger.rejects}"
    due = ledger.loads or ledger.deliveries or ledger.rejects or ledger.became != to
    renamed = f"ALTER TABLE {old} RENAME TO {new}"
    aside = [f"DROP TABLE {table_beside(old)}"] if table_beside(old) in there else []
    statements = [*([renamed] if old in there else []), *aside]
    declaration = _declaration(place, declared.get(name), feed)
    steps = [
        Step("copy files", [f"copy {line}" for line in all_files], copy),
        Step(
            "ledger",
            [f"{name} becomes {feed.name} ({held}); loads under the old name are refused from then on"] if due else [],
            change_ledger,
        ),
        Step("table", [f"{each};" for each in statements], partial(execute, place, *statements)),
        Step("delete the copied files", [f"delete {line.partition(' -> ')[0]}" for line in all_files], delete),
        history_step(place, (source, table), feed),
        declaration,
        dbt_sources_step(place, source, declaration),
    ]
    notes = [*readers_notes(place, source, table, f"write {to}"), *other_mentions(place, source, table)]
    if isinstance(feed, FileFeedSpec):
        notes.append("pending files stay in inbound and are loaded under the new name; receipts that are written stay")
    return steps, notes


def _renamed(feed: FeedSpec, table: str, to: str) -> FeedSpec:
    changes: dict[str, object] = {"table": to}
    if isinstance(feed, TableSpec):
        changes["from_"] = feed.from_ or table
    return feed.model_copy(update=changes)


def _declaration(place: Place, feed: FeedSpec | None, renamed: FeedSpec) -> Step:
    """The feed's folder, or its table's entry. `feed`: None if it has been renamed."""
    if feed is None:
        return Step("YAML", [], lambda: None)
    file = feed.declared_in
    if isinstance(feed, TableSpec):
        text = with_table_renamed(Document.read(file), feed, renamed.table)
        from_ = "" if feed.from_ else f", with from: {feed.table}"
        return Step("YAML", [f"{shown(file)}: table: {renamed.table}{from_}"], partial(replace_text, file, text))
    folder = file.parent
    to = folder.with_name(renamed.table)
    return Step("YAML", [f"{shown(folder)} -> {shown(to)}"], lambda: _move(folder, to))


def _move(folder: Path, to: Path) -> None:
    folder.rename(to)
