"""Steps that a renaming and a removal share: Dagster's history, dbt's sources. What both leave to others."""

from __future__ import annotations

import dagster as dg

from data_platform.cli.change import Step
from data_platform.cli.feed.place import Place, shown
from data_platform.feeds.spec import FeedSpec
from data_platform.transform.sources import outdated, readers, sources_file, write_sources
from data_platform.warehouse.ledger import extracts_in_table


def history_step(place: Place, old: tuple[str, str], becomes: FeedSpec | None, name: str = "Dagster's history") -> Step:
    """Deletes Dagster's history of a feed's assets. If the feed has become another, that one's table is reported first,
    so that its models follow and its days aren't missing."""
    keys = [dg.AssetKey([layer, *old]) for layer in ("lake", "raw")]
    with place.dagster() as instance:
        known = [key for key in keys if instance is not None and instance.has_asset_key(key)]
    lines = [f"delete Dagster's history of {key.to_user_string()}" for key in known]
    if becomes is not None and known:
        lines.insert(0, f"report {becomes.name}'s table as materialized and checked, by its days in the ledger")

    def apply() -> None:
        from data_platform.automation.table_report import report_table

        with place.dagster() as instance:
            if instance is None:
                return
            if becomes is not None:
                with place.session() as connection, connection.cursor() as cursor:
                    there = extracts_in_table(cursor, place.database, becomes)
                    if there:
                        report_table(
                            instance,
                            becomes,
                            connection,
                            place.database,
                            partitions={each.partition for each in there.values()},
                            metadata={"renamed from": "/".join(old)},
                        )
            instance.wipe_assets(known)

    return Step(name, lines, apply)


def dbt_sources_step(place: Place, source: str, declaration: Step) -> Step:
    """Writes dbt's sources of a source, or removes their file, as the YAML says that `declaration` changes before."""
    file = sources_file(place.dbt_project, source)
    due = file.exists() and (declaration.lines or file in outdated(place.dbt_project, place.sources()))

    def apply() -> None:
        write_sources(place.dbt_project, place.sources(), only=file)

    return Step("dbt sources", [f"write {shown(file)}"] if due else [], apply)


def readers_notes(place: Place, source: str, table: str, what: str) -> list[str]:
    """A line for each place in the dbt project that reads the feed's table, and what to do there."""
    return [
        f"{shown(file)}:{number} reads source('{source}', '{table}'): {what}"
        for file, number in readers(place.dbt_project, source, table)
    ]


def other_mentions(place: Place, source: str, table: str) -> list[str]:
    """A line for each place in `defs/` that names the feed's assets."""
    spelled = (f"{source}/{table}", f'"{source}", "{table}"')
    return [
        f"{shown(file)}:{number} names {source}/{table}"
        for file in sorted((*place.defs.glob("**/*.py"), *place.defs.glob("**/*.y*ml")))
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1)
        if any(text in line for text in spelled)
    ]
