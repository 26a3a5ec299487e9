"""`data-platform check`: checks each `defs.yaml` against its component, and whether it is in the right folder; and the
dbt project."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from data_platform.cli.errors import DataProblem
from data_platform.cli.project import DBT_PROJECT, DEFS, declared

if TYPE_CHECKING:
    from data_platform.feeds.spec import FeedSpec
    from data_platform.publish.spec import Dataset


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(exists=True, path_type=Path))
def check(paths: tuple[Path, ...]) -> None:
    """Check every defs.yaml and the dbt project, or the defs.yaml of the given files and folders.

    Connects to nothing. Shows each mistake as file:line:column with the line and a caret, and then exits with 3. dbt
    parses the project only if a file of it has changed since it was last parsed.

    \b
    Examples:
      data-platform check
      data-platform check data_platform/defs/sources/partners/harbor_water
    """
    from data_platform.components.defs_yaml import check_files, component_files

    files = list(_files(paths, component_files))
    wrong = {file: message for file, message in check_files(files) if message is not None}
    for message in wrong.values():
        click.echo(message)
    misplaced = [] if wrong else [*_misplaced(files), *_names(paths or (DEFS,))]
    for message in misplaced:
        click.echo(message)
    if wrong or misplaced:
        raise DataProblem(f"{len(wrong) + len(misplaced)} of {len(files)} defs.yaml files are invalid")
    if not paths:
        _check_models()
    click.echo(f"All {len(files)} defs.yaml files are valid" if len(files) != 1 else "The defs.yaml file is valid")


def _check_models() -> None:
    """Raises DataProblem if a model reads a source that no feed declares, or a column that no contract has; if dbt
    can't parse the project; and if what is published or geocoded isn't there or is personal."""
    from data_platform.environment import settings
    from data_platform.feeds.declared import declared_sources
    from data_platform.feeds.spec import SourceDeclaration
    from data_platform.transform.manifest import ManifestUnusable, build_manifest
    from data_platform.transform.sources import readers_of_undeclared

    project = settings().dbt_code.project_dir or DBT_PROJECT
    if not (project / "dbt_project.yml").is_file():
        return
    for line in (lines := list(readers_of_undeclared(project, declared_sources(DEFS, SourceDeclaration)))):
        click.echo(line)
    if lines:
        raise DataProblem(f"{len(lines)} models read what no feed declares")
    try:
        build_manifest(project, settings())
    except ManifestUnusable as error:
        raise DataProblem(str(error)) from None
    _check_columns(project)
    _check_inputs(project)
    _check_publications(project)


def _check_inputs(project: Path) -> None:
    """Raises DataProblem if a publication or a geocoded table is made from what isn't there."""
    from data_platform.cli.inputs import unknown_inputs
    from data_platform.publish.spec import declared_datasets

    for line in (lines := list(unknown_inputs(project, DEFS, declared(), declared_datasets(DEFS)))):
        click.echo(line)
    if lines:
        raise DataProblem(f"{len(lines)} publications or geocoded tables are made from what isn't there")


def _check_publications(project: Path) -> None:
    """Raises DataProblem if a publication has a personal column, or a column that is made of one."""
    from data_platform.publish.spec import declared_datasets

    feeds = [feed for feed in declared() if feed.contract.personal]
    datasets = declared_datasets(DEFS)
    for line in (lines := list(personal_columns(project, declared(), datasets)) if feeds and datasets else []):
        click.echo(line)
    if lines:
        raise DataProblem(f"{len(lines)} publications have personal columns, or may have")


def personal_columns(project: Path, feeds: Sequence[FeedSpec], datasets: Iterable[Dataset]) -> Iterator[str]:
    """The publications that have a personal column of a feed's contract, or a column that is made of one; and those
    whose model's SQL can't be followed."""
    from data_platform.transform.lineage import Lineage

    lineage = Lineage(project, feeds)
    lineage.models()
    found: dict[str, dict[str, str]] = {}
    for feed in feeds:
        for column in sorted(feed.contract.personal):
            for model, made in lineage.readers(feed.name, column).items():
                found.setdefault(model, {}).update(dict.fromkeys(made, f"{feed.name}.{column}"))
    for dataset in datasets:
        given = dataset.publication
        model = given.from_.partition("/")[2]
        places = given.geometry.model_dump().values() if given.geometry else ()
        for name, source in found.get(model, {}).items():
            if given.columns is None or name in (*given.columns, *places):
                yield f"{dataset.id}: {name} is made of the personal column {source}, which is never published"
        if model in lineage.unread:
            yield f"{dataset.id}: the SQL of {given.from_} can't be followed, so it may have personal columns"


def _check_columns(project: Path) -> None:
    """Raises DataProblem if a model reads a column that no contract has. What was found right isn't read again:
    reading a model takes sqlglot a twentieth of a second."""
    feeds = declared()
    state = _state(project, feeds)
    right = project / "target" / "columns_are_right"
    if right.exists() and right.read_text() == state:
        return
    for line in (lines := list(_undeclared_columns(project, feeds))):
        click.echo(line)
    if lines:
        raise DataProblem(f"{len(lines)} columns that models read are in no contract")
    right.write_text(state)


def _state(project: Path, feeds: Iterable[FeedSpec]) -> str:
    """Changes with the dbt project's files and the columns of the feeds' tables."""
    from data_platform.transform.manifest import fingerprint

    tables = [
        (feed.name, feed.contract.drift, [(column.name, column.renamed_from) for column in feed.table_columns])
        for feed in feeds
    ]
    return hashlib.sha256(f"{fingerprint(project)} {sorted(tables)}".encode()).hexdigest()


def _files(paths: tuple[Path, ...], below: Callable[[Path], list[Path]]) -> Iterator[Path]:
    for path in paths or (DEFS,):
        yield from below(path) if path.is_dir() else [path]


def _names(folders: Iterable[Path]) -> Iterator[str]:
    """A name that can't be a source's, or that two sources have."""
    from data_platform.feeds.declared import declared_sources
    from data_platform.feeds.documents import DefinitionInvalid
    from data_platform.feeds.spec import SourceDeclaration

    for folder in (path for path in folders if (path / "sources").is_dir()):
        try:
            declared_sources(folder, SourceDeclaration)
        except DefinitionInvalid as error:
            yield str(error)


def _undeclared_columns(project: Path, feeds: Sequence[FeedSpec]) -> Iterator[str]:
    """Columns that a model names, and that nothing that it reads has: they were removed from a contract, or renamed."""
    from data_platform.transform.lineage import Lineage

    now = {old: column.name for feed in feeds for column in feed.contract.columns for old in column.renamed_from}
    for model in Lineage(project, feeds).models():
        for column in model.missing:
            hint = f"it is called {now[column]} now" if column in now else "was it removed from a contract, or renamed?"
            yield f"{model.path}: {column} is not a column of anything that the model reads: {hint}"


def _misplaced(files: Iterable[Path]) -> Iterator[str]:
    """Valid files in a folder from which nothing loads them."""
    from data_platform.feeds.documents import Document

    for file in files:
        component = Document.read(file).component.rpartition(".")[2]
        above = file.parent.parent / "defs.yaml"
        if component == "FileFeed" and not above.exists():
            yield (
                f"{file}:1:1: put a FileFeed into a folder directly below its SftpPartner's folder: {above}"
                " doesn't exist"
            )
