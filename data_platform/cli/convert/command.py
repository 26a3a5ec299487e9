"""`data-platform convert`: prints or writes this platform's YAML for that of earlier systems."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from data_platform.cli.project import ROOT
from data_platform.program import as_typed


@click.group()
def convert() -> None:
    """Convert the YAML of earlier systems to this platform's."""


@convert.command("databridge-config")
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path), metavar="FILE...")
@click.option("--connection", default="databridge", show_default=True, help="The connection of the database.")
@click.option("--owner", default="team:data", show_default=True, help="Who owns the tables: an email or team:<name>.")
@click.option("--time-zone", default="America/New_York", show_default=True, help="The zone of the database's days.")
@click.option("--write", is_flag=True, help="Write the files. Without it, the command only prints them.")
def databridge_config(paths: tuple[Path, ...], connection: str, owner: str, time_zone: str, write: bool) -> None:
    """Convert config files of Databridge pipelines.

    FILE is a YAML file of one table, or a folder of them: schedule, table_schema, table_name, select_users,
    indexes_fields, geometry_type, geometry_srid and the like. Each schema becomes a source with SqlTables; each table
    that went to CARTO gets a CartoDataset with its users and indexes, and a model. At the end the command lists what
    has no counterpart. It changes no file that is there.

    Config files don't have the columns: run `data-platform discover` next, which reads them from the database.

    \b
    Examples:
      data-platform convert databridge-config dags/databridge_dag_config/lni/violations.yml
      data-platform convert databridge-config dags/databridge_dag_config --connection databridge --write
    Exit code 3: a file is no such configuration, or would be overwritten.
    """
    from data_platform.cli.convert.databridge import NotAConfig, read_config
    from data_platform.cli.convert.databridge import convert as converted
    from data_platform.cli.errors import DataProblem

    configs, wrong = [], []
    for file in _files(paths):
        try:
            configs.append(read_config(file))
        except NotAConfig as error:
            wrong.append(str(error))
    made = converted(configs, connection=connection, owner=owner, time_zone=time_zone)
    there = [name for name in made.files if write and (ROOT / name).exists()]
    for name, text in made.files.items():
        if not write:
            click.echo(f"--- {name}\n{text}")
        elif name not in there:
            (ROOT / name).parent.mkdir(parents=True, exist_ok=True)
            (ROOT / name).write_text(text, encoding="utf-8")
            click.echo(f"written: {name}")
    for origin, notes in made.notes.items():
        for note in notes:
            click.echo(f"note: {origin}: {note}")
    click.echo(f"{len(configs)} tables converted, {len(wrong)} files left out")
    if configs:
        sources = " ".join(dict.fromkeys(config.source for config in configs))
        click.echo(as_typed(f"Next, for each of {sources}: `data-platform discover SOURCE --write`"))
        click.echo(as_typed("Then: `data-platform dbt-sources`, `data-platform check`"))
    problems = [*wrong, *(f"{name} is there already: merge the two by hand" for name in there)]
    if problems:
        raise DataProblem("\n".join(problems))


def _files(paths: tuple[Path, ...]) -> Iterator[Path]:
    for path in paths:
        yield from sorted(each for each in path.rglob("*.y*ml")) if path.is_dir() else [path]
