"""`data-platform instance`: Dagster's instance configuration, from `deploy/dagster.yaml` and the settings."""

from __future__ import annotations

from pathlib import Path

import click

from data_platform.environment import settings


@click.command()
@click.option(
    "--to", type=click.Path(file_okay=False, path_type=Path), help="Write dagster.yaml into this folder instead."
)
def instance(to: Path | None) -> None:
    """Print Dagster's instance configuration: deploy/dagster.yaml with the settings filled in.

    Containers write it to DAGSTER_HOME when they start; `up` writes the local cloud's. It holds no secret.

    \b
    Examples:
      data-platform instance
      DATA_PLATFORM_RUNS_ON=ecs data-platform instance          names missing settings for runs as Fargate tasks
      data-platform instance --to /opt/dagster
    """
    from data_platform.runs.instance import TEMPLATE, render, write

    if to is not None:
        click.echo(f"written: {write(to)}", err=True)
        return
    click.echo(render(TEMPLATE.read_text(encoding="utf-8"), settings()), nl=False)
