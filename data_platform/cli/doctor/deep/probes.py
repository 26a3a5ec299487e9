"""The deep probes, by what they are about."""

from __future__ import annotations

from data_platform.cli.doctor.deep.buckets import buckets
from data_platform.cli.doctor.deep.task import task
from data_platform.cli.doctor.deep.users import users
from data_platform.cli.doctor.finding import Probe

DEEP: tuple[tuple[str, Probe], ...] = (
    ("users of Snowflake", users),
    ("S3", buckets),
    ("a run's task", task),
)
