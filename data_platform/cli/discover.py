"""`data-platform discover`: declares a source's tables as its catalog describes them, as a diff to review."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING

import click

from data_platform.cli.project import DEFS

if TYPE_CHECKING:
    from data_platform.extract.discovery import DiscoverableKind
    from data_platform.feeds.declared import DeclaredSource
    from data_platform.feeds.spec import SourceDeclaration


@click.command()
@click.argument("source", metavar="SOURCE")
@click.option(
    "--table",
    "tables",
    multiple=True,
    metavar="NAME",
    help="Also declare this table; of a database, schema.table; of a web API, its id or label.",
)
@click.option("--schema", "schemas", multiple=True, metavar="NAME", help="Also declare every table of this schema.")
@click.option(
    "--new", "component", metavar="COMPONENT", help="Begin a source that isn't declared yet: SqlTables, KnackObjects."
)
@click.option("--write", is_flag=True, help="Change the defs.yaml. Without it, the command only shows the changes.")
def discover(
    source: str, tables: tuple[str, ...], schemas: tuple[str, ...], component: str | None, write: bool
) -> None:
    """Declare a source's tables from its catalog.

    Compares the contracts of SOURCE with its catalog: types, keys, comments, SRIDs, and which columns may be null.
    Shows the changes of its defs.yaml as a diff. What you wrote stays: descriptions, owners, options and comments, and
    each type and key that the catalog doesn't contradict. Reads no rows.

    \b
    Examples:
      data-platform discover city_records
      data-platform discover city_records --table register.parcels --write
      data-platform discover assessor --new SqlTables --schema public
      data-platform discover grants --new KnackObjects --table object_1
    """
    from data_platform.environment import settings
    from data_platform.feeds.discovered_yaml import with_found
    from data_platform.feeds.discovery import Wanted
    from data_platform.feeds.documents import Document, parse
    from data_platform.feeds.edit import replace_text
    from data_platform.feeds.tables import TablesDeclaration

    kind, declared = _place(source, component)
    assert isinstance(declared.declaration, TablesDeclaration)  # noqa: S101 - each kind's is one
    system = declared.declaration.spec.system
    url = settings().connection(declared.declaration.connection, f"the source {source}", system)
    feeds = {feed.table: feed for feed in declared.feeds()}
    found = kind.read(declared.declaration, url, list(feeds.values()), Wanted(tables, schemas))
    file = declared.declared_in
    before = file.read_text(encoding="utf-8") if file.exists() else ""
    text = before or kind.new_document(source)
    after, notes = with_found(Document(file, text, parse(text)), kind.listed_in, feeds, found.tables)
    Document(file, after, parse(after)).attributes(kind.declaration)  # what is written can be read
    if not found.tables and not before:
        after = before
    shown = str(file.relative_to(Path.cwd())) if file.is_relative_to(Path.cwd()) else str(file)
    diff = list(difflib.unified_diff(before.splitlines(), after.splitlines(), shown, shown, lineterm=""))
    for line in diff:
        click.echo(line)
    for note in (*found.notes, *notes):
        click.echo(f"note: {note}")
    if not diff:
        click.echo(f"{source}: {len(found.tables)} tables are as the catalog describes them")
    elif write:
        file.parent.mkdir(parents=True, exist_ok=True)
        replace_text(file, after)
        click.echo(f"Wrote {shown}. Next: data-platform check, data-platform dbt-sources")
    else:
        click.echo("Nothing is written. Run the command with --write to change the file")


def _place(source: str, component: str | None) -> tuple[DiscoverableKind, DeclaredSource[SourceDeclaration]]:
    """The source and its kind. Raises click.UsageError."""
    from data_platform.extract.discovery import KINDS, kind_of
    from data_platform.feeds.declared import DeclaredSource, declared_sources
    from data_platform.feeds.documents import Document, parse
    from data_platform.feeds.spec import SourceDeclaration

    sources = {each.name: each for each in declared_sources(DEFS, SourceDeclaration)}
    if component is not None and source not in sources:
        kind = next((kind for kind in KINDS if kind.component == component), None)
        if kind is None:
            names = ", ".join(kind.component for kind in KINDS)
            raise click.UsageError(f"--new {component}: expected a component whose catalog can be read: {names}")
        file = DEFS / "sources" / kind.folder / source / "defs.yaml"
        text = kind.new_document(source)
        declaration = Document(file, text, parse(text)).attributes(kind.declaration)
        return kind, DeclaredSource(source, declaration, file)
    if source not in sources:
        near = difflib.get_close_matches(source, sources, n=1)
        hint = f"did you mean {near[0]}?" if near else "begin it with --new SqlTables"
        raise click.UsageError(f"no source {source} is declared; {hint}")
    declared = sources[source]
    found = kind_of(declared.declaration)
    if found is None:
        raise click.UsageError(f"{source} has no catalog; test one of its files with `data-platform feed test FILE`")
    return found, declared
