"""A landing run that is killed anywhere is finished by the next tick: no row lost, none doubled, receipts written."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from data_platform_tests.end_to_end.conftest import Demo
from data_platform_tests.end_to_end.platform import Platform

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(900)]

TICK = """
import os, signal, sys
from data_platform.cli.inbound import drain
from data_platform.cli.location import CodeLocation
from data_platform.cli.project import connected, landing_bucket
from data_platform.landing import intake
from data_platform.landing.bucket import LandingBucket
from data_platform.warehouse import load

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def after(function):
    def then_die(*arguments, **named):
        function(*arguments, **named)
        die()
    return then_die

wanted = connected(print)
point = sys.argv[1]
if point == "before the load":
    intake.load_extracts = die
elif point == "within the load's transaction":
    load.copy_rejects = die
elif point == "before the receipts":
    intake.settle = die
elif point == "before the move":
    LandingBucket.move = die
elif point == "within the move":
    LandingBucket.delete = die
elif point == "after one of the moves":
    LandingBucket.move = after(LandingBucket.move)
location = CodeLocation()
done = drain(location, landing_bucket(wanted), on_wait=lambda files: None, on_run=lambda files, run: None)
assert not done.failed, [run.failures for run in done.failed]
"""
POINTS = [
    "before the load",
    "within the load's transaction",
    "before the receipts",
    "before the move",
    "within the move",
    "after one of the moves",
]
FILES, ROWS = 3, 4


def _files(folder: Path, day: str) -> list[Path]:
    """Some hours of a day; the last row of each is a reject."""
    made = []
    for hour in range(FILES):
        file = folder / f"readings_{day.replace('-', '')}T{hour:02}-0400.csv"
        rows = [f"M-{meter:07},{day}T{hour:02}:30:00-04:00,1.{meter}50,3600,ok," for meter in range(1, ROWS + 1)]
        text = "\n".join(["meter_id,read_at,litres,battery_mv,status,comment", *rows, "M-9,never,1,1,ok,"])
        file.write_text(text + "\n")
        made.append(file)
    return made


@pytest.mark.parametrize(("point", "day"), [(point, f"2026-05-{11 + at}") for at, point in enumerate(POINTS)])
def test_a_run_killed_anywhere_is_finished_by_the_next_tick(
    demo: Demo, platform: Platform, tmp_path: Path, point: str, day: str
) -> None:
    files = _files(tmp_path, day)
    platform.drop("harbor_water", *files)

    killed = platform.python(TICK, point)
    assert killed.returncode == -signal.SIGKILL, killed.stdout + killed.stderr
    finished = platform.python(TICK, "never")
    assert finished.returncode == 0, finished.stdout + finished.stderr

    of_day = f"PARTNER = 'harbor_water' AND PARTITION_KEY = '{day}'"
    outcomes = platform.query(
        f"SELECT FILE_NAME, STATUS, ROWS_READ, ROWS_LOADED, ROWS_REJECTED FROM PLATFORM.DELIVERIES WHERE {of_day}"
    )
    assert sorted(outcomes) == [(file.name, "loaded", ROWS + 1, ROWS, 1) for file in files]
    found = platform.query(
        "SELECT COUNT(*), COUNT(DISTINCT METER_ID || TO_VARCHAR(READ_AT)) FROM RAW_HARBOR_WATER.METER_READINGS"
        f" WHERE _DELIVERY_ID IN (SELECT DELIVERY_ID FROM PLATFORM.DELIVERIES WHERE {of_day})"
    )
    assert tuple(map(int, found[0])) == (FILES * ROWS, FILES * ROWS)
    rejects = platform.number(
        "SELECT COUNT(*) FROM PLATFORM.REJECTS WHERE DELIVERY_ID IN"
        f" (SELECT DELIVERY_ID FROM PLATFORM.DELIVERIES WHERE {of_day})"
    )
    assert rejects == FILES
    listing = platform.sftp("harbor_water", "ls -1 /inbound", "ls -1 /receipts").stdout
    for file in files:
        assert f"/inbound/{file.name}" not in listing
        assert listing.count(f"/receipts/{file.name}.") == 1


def test_the_killed_run_is_shown_as_failed(demo: Demo, platform: Platform) -> None:
    script = """
import dagster as dg, json
with dg.DagsterInstance.get() as instance:
    runs = instance.get_runs(dg.RunsFilter(tags={"data_platform/landing": "true"}))
    print(json.dumps([run.status.value for run in runs]))
"""
    statuses = json.loads(platform.python(script).stdout.splitlines()[-1])
    assert "STARTED" not in statuses
