"""What waits is measured: runs in the queue, files in inbound, and what the warehouse used of its credits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import dagster as dg
import pytest

from data_platform.automation import metrics_sensor
from data_platform.automation.metric_lines import CREDITS, INBOUND_AGE, QUEUE_AGE, line
from data_platform.automation.metrics_sensor import inbound_age, metrics, queue_age
from data_platform.landing.bucket import LandingBucket
from data_platform.resources import LandingResource
from data_platform.warehouse.credits import used_percent
from data_platform_tests.landing.test_inbox import NOW, Objects, feed


def age(names: dict[str, float]) -> float:
    """The metric, of files of so many seconds."""
    return inbound_age(cast(LandingBucket, Objects(names)), [feed()], NOW)


def test_the_oldest_file_that_a_feed_takes_counts() -> None:
    assert age({}) == 0
    assert age({"inbound/p/f_20260306.csv": 99, "inbound/p/f_20260307.csv": 500}) == 500
    assert age({"inbound/p/f_20260306.csv": 1}) == 1, "also while its size isn't known to be stable"


def test_a_file_that_no_feed_takes_does_not_count() -> None:
    assert age({"inbound/p/notes.txt": 9000, "inbound/p/f_20260306.csv": 99}) == 99


def test_the_oldest_run_in_the_queue_counts() -> None:
    """Dagster makes a queued run only of a code location, so the queue is a double."""
    now = datetime.now(UTC)
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_run(dg.DagsterRun(job_name="daily", status=dg.DagsterRunStatus.STARTED))
        assert queue_age(instance, now + timedelta(minutes=5)) == 0, "it doesn't wait"

    class Queue:
        def get_run_records(self, filters: dg.RunsFilter, limit: int, ascending: bool) -> list[Any]:
            assert (list(filters.statuses), limit, ascending) == ([dg.DagsterRunStatus.QUEUED], 1, True)
            return [SimpleNamespace(create_timestamp=now - timedelta(minutes=5))]

    assert queue_age(cast(Any, Queue()), now) == 300


def test_a_tick_prints_a_line_per_metric_and_requests_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics_sensor, "queue_age", lambda *_: 12.3)
    monkeypatch.setattr(metrics_sensor, "inbound_age", lambda *_: 4567.8)
    monkeypatch.setattr(metrics_sensor, "feeds_of", lambda *_: [])
    monkeypatch.setattr(LandingResource, "bucket", lambda self: None)
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_sensor_context(
            instance,
            repository_def=dg.Definitions().get_repository_def(),
            resources={"landing": LandingResource(bucket_name="landing")},
        )
        assert isinstance(metrics(context), dg.SkipReason)
    assert capsys.readouterr().out.splitlines() == [line(QUEUE_AGE, 12), line(INBOUND_AGE, 4568)]


class Monitors:
    """Answers SHOW RESOURCE MONITORS with these rows."""

    def __init__(self, *rows: tuple[str, str, str]) -> None:
        self.rows = rows
        self.description = [SimpleNamespace(name=name) for name in ("name", "credit_quota", "used_credits")]

    def execute(self, statement: str) -> None:
        assert statement == "SHOW RESOURCE MONITORS LIKE 'DATA_PLATFORM'"

    def fetchall(self) -> list[tuple[str, str, str]]:
        return list(self.rows)


def test_the_credits_are_a_share_of_the_months_quota() -> None:
    assert used_percent(cast(Any, Monitors(("DATA_PLATFORM", "200.00", "50.5"))), "data_platform") == 25.25
    assert used_percent(cast(Any, Monitors()), "data_platform") is None, "the role may not see it"
    assert line(CREDITS, 25.25) == "data-platform-metric SnowflakeCreditsPercent 25"
