"""What the smoke test needs in a project: the partner `smoke`, its feed `probe`, and a model that reads it."""

from __future__ import annotations

from pathlib import Path

import click

from data_platform.cli.project import DBT_PROJECT, DEFS, ROOT, declared
from data_platform.feeds.files import FileFeedSpec
from data_platform.feeds.partners import SMOKE
from data_platform.program import as_typed

PARTNER, FEED = SMOKE, "probe"
MODEL = "stg_smoke__probe"

_PARTNER = """\
# The partner of the smoke test, written by `data-platform smoke --init`. It delivers test rows and removes them again.
type: data_platform.components.SftpPartner

attributes:
  description: The platform itself. `data-platform smoke` signs in as this partner.
  public_keys: [{keys}]
  time_zone: UTC
  owners: ["team:platform"]
"""
_FEED = """\
type: data_platform.components.FileFeed

attributes:
  description: Rows that `data-platform smoke` delivers, and removes.
  pattern: 'probe_[0-9a-f]{12}\\.csv'
  format: {type: csv}
  readiness: {settle_seconds: 1}
  load_mode: append
  reject_limit: {rows: 1, share: null}

  contract:
    key: [token, number]
    drift: reject
    columns:
      - {name: token, type: string, nullable: false, description: Which test delivered the row}
      - {name: number, type: int32, nullable: false, description: The row's number}
      - {name: amount, type: "decimal(12,2)", nullable: false, description: An exact number}
      - {name: sent_at, type: timestamp, nullable: false, description: When the test delivered it}
"""
_SQL = """\
-- Shows that dbt has built the model after a file came. The table exists from the first file on.
{%- set probe = source('smoke', 'probe') %}
{%- set there = execute and load_relation(probe) is not none %}

select
    {% if there %}token{% else %}null::varchar{% endif %} as token,
    '{{ run_started_at.isoformat() }}'::timestamp_tz as built_at
{% if there -%}
from {{ probe }}
{%- else -%}
where false
{%- endif %}
"""
_YAML = """\
models:
  - name: stg_smoke__probe
    description: The rows of the smoke tests that are under way, with the time at which dbt built this model.
    config: {meta: {dagster: {owners: ["team:platform"]}}}
    columns:
      - {name: token, description: Which test delivered the row}
      - {name: built_at, description: When dbt built the model}
"""


def declare(public_key: Path | None) -> None:
    """Writes the files. Raises click.ClickException if there are any already: a person may have changed them."""
    from data_platform.transform.sources import sources_file, write_sources

    keys = f'"{public_key.read_text(encoding="utf-8").strip()}"' if public_key else ""
    partner, models = DEFS / "sources" / "partners" / PARTNER, DBT_PROJECT / "models" / "staging" / PARTNER
    files = {
        partner / "defs.yaml": _PARTNER.replace("{keys}", keys),
        partner / FEED / "defs.yaml": _FEED,
        models / "_models.yml": _YAML,
        models / f"{MODEL}.sql": _SQL,
    }
    if there := [_shown(file) for file in files if file.exists()]:
        raise click.ClickException(f"{', '.join(there)} exists already: nothing was written")
    for file, text in files.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        click.echo(f"written: {_shown(file)}")
    from data_platform.feeds.declared import declared_sources
    from data_platform.feeds.spec import SourceDeclaration

    sources = sources_file(DBT_PROJECT, PARTNER)
    write_sources(DBT_PROJECT, declared_sources(DEFS, SourceDeclaration), only=sources)
    click.echo(f"written: {_shown(sources)}")
    click.echo(
        as_typed(
            "Here, `data-platform up` makes the partner. For a deployment, store its private key before you push the"
            " files: docs/upgrade.md shows how. Each release then ends with the test."
        )
    )


def probe_feed() -> FileFeedSpec:
    """The declared feed. Raises click.ClickException if there is none."""
    for feed in declared():
        if feed.name == f"{PARTNER}/{FEED}" and isinstance(feed, FileFeedSpec):
            return feed
    raise click.ClickException(
        as_typed(
            f"This project doesn't declare the feed {PARTNER}/{FEED}, the only one that the test uses. `data-platform"
            " smoke --init` writes it, with its partner and model."
        )
    )


def _shown(file: Path) -> str:
    return str(file.relative_to(ROOT)) if file.is_relative_to(ROOT) else str(file)
