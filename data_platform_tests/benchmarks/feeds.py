"""A project of many partners and feeds, as YAML, for the benchmarks to load."""

from __future__ import annotations

from pathlib import Path

_PROJECT = """\
[tool.dg]
directory_type = "project"
[tool.dg.project]
root_module = "town"
defs_module = "town.defs"
code_location_name = "town"
"""
_PARTNER = """\
type: data_platform.components.SftpPartner

attributes:
  description: Partner {partner}, which delivers {feeds} tables.
  time_zone: America/New_York
  owners: ["team:data"]
  contacts: [files@partner-{partner}.example]
"""
_FEED = """\
type: data_platform.components.FileFeed

attributes:
  description: One row per measurement of kind {feed}.
  pattern: 'feed_{feed:03}_(?P<day>\\d{{8}})T\\d{{4}}\\.csv'
  format: {{type: csv}}
  readiness: {{settle_seconds: 10}}
  partition: {{group: day, format: '%Y%m%d', start: 2026-01-01}}
  load_mode: append
  reject_limit: {{share: 0.05}}
  contract:
    key: [id, taken_at]
    drift: evolve
    columns:
      - {{name: id, type: string, nullable: false, description: What was measured}}
      - {{name: taken_at, type: timestamp, nullable: false, time_zone: America/New_York, description: When}}
      - {{name: day, type: date, description: The day of the report}}
      - {{name: amount, type: "decimal(12,3)", description: How much}}
      - {{name: share, type: float, description: Of the whole}}
      - {{name: pieces, type: int64, description: How many}}
      - {{name: status, type: int32, description: The instrument's own code}}
      - {{name: valid, type: boolean, description: Whether the instrument trusts it}}
      - {{name: note, type: string, description: The crew's remark}}
      - {{name: extra, type: json, description: What else the instrument says}}
"""


def write_project(root: Path, partners: int, feeds: int) -> Path:
    """Writes a Dagster project whose `defs/` declares `feeds` file feeds for each of `partners` partners. Returns its
    package's folder; `root` must be importable from."""
    package = root / "town"
    defs = package / "defs"
    defs.mkdir(parents=True)
    (root / "pyproject.toml").write_text(_PROJECT)
    (package / "__init__.py").touch()
    (defs / "__init__.py").touch()
    for partner in range(partners):
        folder = defs / "sources" / "partners" / f"partner_{partner:02}"
        folder.mkdir(parents=True)
        (folder / "defs.yaml").write_text(_PARTNER.format(partner=partner, feeds=feeds))
        for feed in range(feeds):
            (folder / f"feed_{feed:03}").mkdir()
            (folder / f"feed_{feed:03}" / "defs.yaml").write_text(_FEED.format(feed=feed))
    return package
