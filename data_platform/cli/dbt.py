"""`data-platform dbt`, `dbt-sources`, `dbt-manifest`: dbt with the platform's settings, and its generated files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click

from data_platform.cli.project import DBT_PROJECT, DEFS
from data_platform.environment import SettingsError, settings

_project_dir = click.option(
    "--project-dir",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=DBT_PROJECT,
    show_default="dbt_project",
    help="The dbt project's folder.",
)


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False, "help_option_names": []}
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def dbt(arguments: tuple[str, ...]) -> None:
    """Run dbt on dbt_project/ (or DATA_PLATFORM_DBT_PROJECT_DIR) with the platform's settings. Exits with dbt's code.

    \b
    Examples:
      data-platform dbt build --select marts
      data-platform dbt show --inline "select * from {{ ref('city_daily') }}"
      data-platform dbt --help
    """
    from data_platform.transform.process import artifacts_dir, dbt_command, dbt_environment

    wanted = settings().require_endpoints()
    project = wanted.dbt_code.project_dir or DBT_PROJECT
    child = dbt_environment(wanted, project, artifacts_dir(wanted) / "by-hand")
    sys.exit(subprocess.run(dbt_command(*arguments), cwd=project, env=child, check=False).returncode)


@click.command("dbt-sources")
@click.option("--check", is_flag=True, help="Write nothing; exit with 1 if a file is out of date.")
@_project_dir
def dbt_sources(check: bool, project_dir: Path) -> None:
    """Write dbt's _sources.yml files from the feeds' contracts.

    \b
    Examples:
      data-platform dbt-sources
      data-platform dbt-sources --check
    """
    from data_platform.feeds.declared import declared_sources
    from data_platform.feeds.spec import SourceDeclaration
    from data_platform.transform.sources import outdated, write_sources

    sources = declared_sources(DEFS, SourceDeclaration)
    changed = list(outdated(project_dir, sources)) if check else write_sources(project_dir, sources)
    for file in changed:
        click.echo(f"{'out of date' if check else 'written'}: {file}")
    if check and changed:
        raise click.ClickException("Run `data-platform dbt-sources` and commit the files that it writes.")


@click.command("dbt-manifest")
@_project_dir
def dbt_manifest(project_dir: Path) -> None:
    """Build the dbt project's manifest, from which Dagster loads the models. Connects to nothing.

    \b
    Example:
      data-platform dbt-manifest
    """
    from data_platform.transform.manifest import ManifestUnusable, build_manifest

    try:
        click.echo(f"manifest of {build_manifest(project_dir, settings())}")
    except (ManifestUnusable, SettingsError) as error:
        raise click.ClickException(str(error)) from None
