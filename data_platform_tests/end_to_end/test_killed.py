"""A landing run that is killed anywhere is finished by the next tick: no row lost, none doubled, receipts written,
Dagster told what the table got."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from data_platform_tests.end_to_end.conftest import Demo
from data_platform_tests.end_to_end.platform import ROOT, Platform

pytestmark = pytest.mark.end_to_end

TICKS = """
import os, signal, sys
from datetime import timedelta
from data_platform.automation import feed_run, landing_history
from dagster import DagsterInstance
from data_platform.cli.run.here import RunsHere
from data_platform.cli.run.inbound import drain
from data_platform.cli.run.location import CodeLocation, run_locks
from data_platform.cli.project import landing_bucket
from data_platform.definitions import defs
from data_platform.environment import settings
from data_platform.extract import ingest
from data_platform.landing import source
from data_platform.landing.bucket import LandingBucket
from data_platform.runs.abandoned import report_abandoned
from data_platform.warehouse import load

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def then_die(function):
    def both(*arguments, **named):
        function(*arguments, **named)
        die()
    return both

def tick(point):
    if point == "before the load":
        ingest.load_extracts = die
    elif point == "within the load's transaction":
        load.copy_rejects = die
    elif point == "before Dagster is told of the table":
        feed_run._raw_metadata = die
    elif point == "before Dagster is told of the checks":
        feed_run._key = die
    elif point == "before the receipts":
        source.archive = die
    elif point == "before the move":
        LandingBucket.copy = die
    elif point == "within the move":
        LandingBucket.delete = die
    elif point == "after one of the moves":
        LandingBucket.copy = then_die(LandingBucket.copy)
    landing_history.BACK_OFF = timedelta(0)  # a killed run counts as failed: its files rest for 30 s otherwise
    with DagsterInstance.get() as instance:
        report_abandoned(instance, run_locks())
        here, bucket = CodeLocation(instance), landing_bucket(settings())
        done = drain(RunsHere(here), bucket, here.feeds, on_wait=lambda files: None, on_run=lambda files, run: None)
    assert not done.failed, [run.failures for run in done.failed]

settings().adopt()
defs()  # so that a tick needn't import it all
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        try:
            tick(line.strip())
            os._exit(0)
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Ticks:
    """A process that forks for each tick of the landing sensor with the runs it asks for, so that a tick can be
    killed. `killed`: how many were."""

    def __init__(self, platform: Platform, log: Path) -> None:
        self._log = log
        self.killed = 0
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-c", TICKS],
                cwd=ROOT,
                env=platform.child_environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def tick(self, killed: str = "") -> int:
        """One tick's exit code; `killed`: at which point it is."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(f"{killed}\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            if line.strip().lstrip("-").isdigit():
                self.killed += int(line) == -signal.SIGKILL
                return int(line)
        raise AssertionError(self._log.read_text())

    def end(self) -> None:
        """Ends the process."""
        self._process.communicate(timeout=180)


@pytest.fixture(scope="module")
def ticks(platform: Platform, demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ticks]:
    ticks = Ticks(platform, tmp_path_factory.mktemp("ticks") / "log")
    yield ticks
    ticks.end()


POINTS = [
    "before the load",
    "within the load's transaction",
    "before Dagster is told of the table",
    "before Dagster is told of the checks",
    "before the receipts",
    "before the move",
    "within the move",
    "after one of the moves",
]
DAYS = [f"2026-05-{11 + at}" for at, _ in enumerate(POINTS)]
FILES, ROWS = 3, 40


def _files(folder: Path, day: str) -> list[Path]:
    """Some hours of a day; the last row of each is a reject."""
    made = []
    for hour in range(FILES):
        file = folder / f"readings_{day.replace('-', '')}T{hour:02}-0400.csv"
        rows = [f"M-{meter:07},{day}T{hour:02}:30:00-04:00,1.{meter:03},3600,ok," for meter in range(1, ROWS + 1)]
        text = "\n".join(["meter_id,read_at,litres,battery_mv,status,comment", *rows, "M-9,never,1,1,ok,"])
        file.write_text(text + "\n")
        made.append(file)
    return made


@pytest.mark.parametrize(("point", "day"), list(zip(POINTS, DAYS, strict=True)))
def test_a_run_killed_anywhere_is_finished_by_the_next_tick(
    ticks: Ticks, platform: Platform, tmp_path: Path, point: str, day: str
) -> None:
    files = _files(tmp_path, day)
    platform.drop("harbor_water", *files)

    assert ticks.tick(killed=point) == -signal.SIGKILL
    assert ticks.tick() == 0

    of_day = f"PARTNER = 'harbor_water' AND PARTITION_KEY = '{day}'"
    outcomes = platform.query(
        "SELECT FILE_NAME, STATUS, ROWS_READ, ROWS_LOADED, ROWS_REJECTED FROM PLATFORM.CURRENT_DELIVERIES"
        f" WHERE {of_day}"
    )
    assert sorted(outcomes) == [(file.name, "loaded", ROWS + 1, ROWS, 1) for file in files]
    found = platform.query(
        "SELECT COUNT(*), COUNT(DISTINCT METER_ID || TO_VARCHAR(READ_AT)) FROM RAW_HARBOR_WATER.METER_READINGS"
        f" WHERE _DELIVERY_ID IN (SELECT DELIVERY_ID FROM PLATFORM.CURRENT_DELIVERIES WHERE {of_day})"
    )
    assert tuple(map(int, found[0])) == (FILES * ROWS, FILES * ROWS)
    rejects = platform.number(
        "SELECT COUNT(*) FROM PLATFORM.REJECTS WHERE DELIVERY_ID IN"
        f" (SELECT DELIVERY_ID FROM PLATFORM.CURRENT_DELIVERIES WHERE {of_day})"
    )
    assert rejects == FILES
    listing = platform.sftp("harbor_water", "ls -1 /inbound", "ls -1 /receipts/*").stdout
    for file in files:
        assert f"/inbound/{file.name}" not in listing
        told = [name for name in listing.split() if f"/{file.name}." in name]
        assert sorted(name.rpartition(".")[2] for name in told) == ["csv", "json"], "one receipt, and its reject"


def test_every_killed_run_is_shown_as_failed_and_none_as_running(ticks: Ticks, platform: Platform) -> None:
    script = """
import dagster as dg, json
with dg.DagsterInstance.get() as instance:
    runs = instance.get_runs(dg.RunsFilter(tags={"data_platform/landing": "true"}))
    print(json.dumps([(run.tags.get("dagster/partition"), run.status.value) for run in runs]))
"""
    found = json.loads(platform.python(script).stdout.splitlines()[-1])
    assert "STARTED" not in [status for _, status in found]
    assert [status for day, status in found if day in DAYS].count("FAILURE") == ticks.killed


def test_of_every_day_dagster_is_told_what_the_table_got_and_that_it_keeps_its_contract(
    ticks: Ticks, platform: Platform
) -> None:
    script = """
import dagster as dg, json
TABLE = dg.AssetKey(["raw", "harbor_water", "meter_readings"])
with dg.DagsterInstance.get() as instance:
    told = {}
    for event in instance.fetch_materializations(TABLE, limit=100).records:
        made = event.asset_materialization
        told.setdefault(made.partition, []).append((event.run_id, made.metadata["rows"].value))
    checked = [
        record.run_id
        for record in instance.event_log_storage.get_asset_check_execution_history(
            dg.AssetCheckKey(TABLE, "contract"), limit=100
        )
        if record.status.value == "SUCCEEDED"
    ]
    print(json.dumps([told, checked]))
"""
    told, checked = json.loads(platform.python(script).stdout.splitlines()[-1])
    for day in DAYS:
        newest_run, _ = told[day][0]
        assert FILES * ROWS in [rows for _, rows in told[day]], told[day]
        assert newest_run in checked
