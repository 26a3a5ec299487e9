"""`data-platform dbt-sources` and `dbt-manifest`: what is derived from contracts and from the dbt project."""

from __future__ import annotations

from pathlib import Path

import click

import data_platform
from data_platform.environment import SettingsError, settings
from data_platform.transform.manifest import ManifestUnusable, build_manifest
from data_platform.transform.sources import declared_sources, outdated, write_sources

_PACKAGE = Path(data_platform.__file__).parent
_project_dir = click.option(
    "--project-dir",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=_PACKAGE.parent / "dbt_project",
    show_default="dbt_project",
    help="The dbt project's folder.",
)


@click.command("dbt-sources")
@click.option("--check", is_flag=True, help="Write nothing; exit with 1 if a file is not as the contracts say.")
@_project_dir
def dbt_sources(check: bool, project_dir: Path) -> None:
    """Write dbt's _sources.yml files from the feeds' contracts.

    \b
    Examples:
      data-platform dbt-sources
      data-platform dbt-sources --check
    """
    sources = declared_sources(_PACKAGE / "defs" / "sources" / "partners")
    changed = list(outdated(project_dir, sources)) if check else write_sources(project_dir, sources)
    for file in changed:
        click.echo(f"{'not as the contracts say' if check else 'written'}: {file}")
    if check and changed:
        raise click.ClickException("Run `data-platform dbt-sources` and commit what it writes.")


@click.command("dbt-manifest")
@_project_dir
def dbt_manifest(project_dir: Path) -> None:
    """Build the dbt project's manifest, which definitions are loaded from. Connects to nothing.

    \b
    Example:
      data-platform dbt-manifest
    """
    try:
        click.echo(f"manifest of {build_manifest(project_dir, settings())}")
    except (ManifestUnusable, SettingsError) as error:
        raise click.ClickException(str(error)) from None
