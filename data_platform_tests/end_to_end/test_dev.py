"""`data-platform dev`: a partner's file reaches the mart by itself, the UI shows the way, and nothing outlives it."""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path
from urllib.parse import quote

import psutil
import pytest

from data_platform_tests.end_to_end.browser import chromium
from data_platform_tests.end_to_end.dev_server import DevServer
from data_platform_tests.end_to_end.platform import Platform, patience, wait_for

pytestmark = pytest.mark.end_to_end

MART_SECONDS = 60
DAY = "2026-06-01"


def _catalog(dev: DevServer, selection: str) -> str:
    """The catalog's page with this in its search field: it shows as many assets as fit in the window."""
    return f"{dev.url}/assets?asset-selection={quote(selection, safe='')}"


def test_sensors_and_schedules_run_without_being_switched_on(dev: DevServer) -> None:
    found = dev.graphql(
        "{repositoriesOrError {... on RepositoryConnection {nodes {"
        " sensors {name sensorState {status}} schedules {name scheduleState {status}}}}}}"
    )
    (repository,) = found["repositoriesOrError"]["nodes"]
    assert {one["name"]: one["sensorState"]["status"] for one in repository["sensors"]} == {
        "landing": "RUNNING",
        "unmatched": "RUNNING",
        "marts_follow_raw": "RUNNING",
        "city_daily_digest": "RUNNING",
    }
    assert {one["name"]: one["scheduleState"]["status"] for one in repository["schedules"]} == {
        "arrivals": "RUNNING",
        "daily": "RUNNING",
        "databases": "RUNNING",
        "geocoding": "RUNNING",
        "web_apis": "RUNNING",
        "retention": "RUNNING",
    }


def test_a_file_put_with_openssh_is_in_the_mart_within_a_minute(
    dev: DevServer, platform: Platform, tmp_path: Path, record_property: pytest.RecordProperty
) -> None:
    file = tmp_path / f"readings_{DAY.replace('-', '')}T07-0400.csv"
    rows = [f"M-{meter:07},{DAY}T07:00:00-04:00,1.250,3600,ok," for meter in range(1, 151)]
    file.write_text("\n".join(["meter_id,read_at,litres,battery_mv,status,comment", *rows]) + "\n")

    began = time.monotonic()
    platform.drop("harbor_water", file)
    sql = f"SELECT LITRES FROM MARTS.CITY_DAILY WHERE LOCAL_DAY = '{DAY}'"
    (litres,) = wait_for(lambda: [str(row[0]) for row in platform.query(sql)], MART_SECONDS, "the mart has the day")
    seconds = time.monotonic() - began

    record_property("seconds from sftp put to mart", round(seconds, 1))
    print(f"from sftp put to mart: {seconds:.1f} s")
    assert litres == "187.500"


def test_people_find_a_feed_and_its_numbers_in_the_ui(dev: DevServer, tmp_path: Path) -> None:
    with chromium(tmp_path) as browser:
        browser.open(_catalog(dev, 'key:"raw/harbor_water/*"'))
        browser.see("raw / harbor_water / meter_readings", "One row per meter and hour")
        browser.click_link("/assets/raw/harbor_water/meter_readings")
        browser.see("One row per meter and hour, with the volume used in that hour.")
        browser.see("litres", "NUMBER(12,3)", "Litres since the reading before", "non-nullable")
        browser.see("Owners\nwater", "domain: water", "Snowflake", "key meter_id, read_at")
        browser.see("DATA_PLATFORM.RAW_HARB", "Row count", "rejects", "seconds")
        browser.picture("raw")
        browser.click("Plots")
        browser.see("rows")
        browser.picture("plots")
        browser.click("Checks")
        browser.see("contract", "deliveries", "arrivals", "Succeeded")
        browser.picture("checks")


def test_the_marts_lineage_leads_back_to_the_partners(dev: DevServer, tmp_path: Path) -> None:
    with chromium(tmp_path) as browser:
        browser.open(_catalog(dev, 'key:"marts/*"'))
        browser.click_link("/assets/marts/city_daily")
        browser.see("Port Meridian in one row per day", "analytics")
        browser.click("Lineage", nth=1)  # the asset's; the first is the whole platform's
        browser.see("fct_parking_daily", "fct_meter_readings_daily", "Passed")
        browser.picture("lineage")


def test_an_asset_is_materialized_from_the_ui(dev: DevServer, platform: Platform, tmp_path: Path) -> None:
    of_runs = """{runsOrError(filter: {pipelineName: "__ASSET_JOB"}, limit: 50) {
        ... on Runs {results {id status assetSelection {path}}}}}"""

    def runs() -> dict[str, str]:
        found = dev.graphql(of_runs)["runsOrError"]["results"]
        mine = [run for run in found if run["assetSelection"] == [{"path": ["marts", "dim_stations"]}]]
        return {run["id"]: run["status"] for run in mine}

    before = runs()
    with chromium(tmp_path) as browser:
        browser.open(dev.url + "/assets/marts/dim_stations")
        browser.see("The monitoring stations, one row each")
        browser.click("Materialize")
        started = wait_for(lambda: runs().keys() - before.keys(), patience(180), "the UI starts a run")
        (run_id,) = started
        browser.open(f"{dev.url}/runs/{run_id}")
        browser.see("Success", seconds=240)
        browser.picture("run")
    assert runs()[run_id] == "SUCCESS"


def test_no_secret_is_in_the_ui_nor_on_command_lines(dev: DevServer, platform: Platform) -> None:
    found = dev.graphql(
        "{repositoriesOrError {... on RepositoryConnection {nodes {name location {name}"
        " allTopLevelResourceDetails {name description configFields {name description}"
        " configuredValues {key value type}}}}}}"
    )
    assert "warehouse" in json.dumps(found)
    configuration = dev.graphql("{instance {info} }")
    assert platform.planted.found_in(json.dumps([found, configuration])) == []
    for process in dev.family():
        with contextlib.suppress(psutil.NoSuchProcess):  # it has ended meanwhile; a zombie has, too
            assert platform.planted.found_in(" ".join(process.cmdline())) == []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            assert platform.planted.found_in(process.read_text(errors="replace")) == [], process
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue


def test_ended_by_ctrl_c_it_leaves_no_process_behind(dev: DevServer) -> None:
    family = dev.family()
    assert len(family) >= 4, "webserver, daemon and code server"
    assert dev.stop() == []
    assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in family)
