"""`data-platform instance`: Dagster's instance configuration as the settings make it. What is in it stands in
`deploy/dagster.yaml`."""

from __future__ import annotations

from pathlib import Path

import click

from data_platform.environment import settings


@click.command()
@click.option("--to", type=click.Path(file_okay=False, path_type=Path), help="Write FOLDER/dagster.yaml instead.")
def instance(to: Path | None) -> None:
    """Print Dagster's instance configuration, made of deploy/dagster.yaml and the settings.

    Containers write it when they start, to DAGSTER_HOME; `up` does for the local cloud. It holds no secret.

    \b
    Examples:
      data-platform instance
      DATA_PLATFORM_RUNS_ON=ecs data-platform instance          what is missing for runs as Fargate tasks
      data-platform instance --to /opt/dagster
    """
    from data_platform.runs.instance import TEMPLATE, render, write

    if to is not None:
        click.echo(f"written: {write(to)}", err=True)
        return
    click.echo(render(TEMPLATE.read_text(encoding="utf-8"), settings()), nl=False)
