"""Dagster's instance in the local cloud: `.local/dagster/dagster.yaml`, its storage in the local
PostgreSQL."""

from __future__ import annotations

from pathlib import Path

from data_platform.local_cloud.layout import write_atomically

DAGSTER_YAML = """\
# Written by `data-platform up`; changes are overwritten.
storage:
  postgres:
    postgres_url:
      env: DAGSTER_POSTGRES_URL
telemetry:
  enabled: false
nux:
  enabled: false  # no invitation to a newsletter over the UI's first page
run_coordinator:
  module: dagster
  class: QueuedRunCoordinator
  config:
    dequeue_interval_seconds: 1
run_launcher:
  module: dagster
  class: DefaultRunLauncher
concurrency:
  runs:
    max_concurrent_runs: 4
retention:
  sensor:
    purge_after_days:
      skipped: 2
      success: 30
      failure: 30
  schedule:
    purge_after_days: 30
"""


def write(home: Path) -> None:
    """Writes the instance's configuration. Compute logs and artifacts stay below `home`, Dagster's
    default."""
    home.mkdir(parents=True, exist_ok=True)
    write_atomically(home / "dagster.yaml", DAGSTER_YAML)
