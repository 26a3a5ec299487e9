"""The commands, after the demo's day: what came of it, and what they refuse."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable

import pytest

from data_platform_tests.end_to_end.conftest import Demo
from data_platform_tests.end_to_end.platform import Platform

pytestmark = pytest.mark.end_to_end

Ran = subprocess.CompletedProcess[str]
Cli = Callable[..., Ran]
NOT_TAKEN_IN = {
    "inbound/harbor_water/notes_for_the_city.txt": "unmatched",
    "inbound/harbor_water/readings_20260230T01-0500.csv": "unmatched",
    "inbound/meridian_parking/sessions_20260310.csv": "unmatched",
    "inbound/meridian_parking/sessions_20261102_late.csv.gz": "waiting",
}


@pytest.fixture(scope="module")
def cli(platform: Platform, demo: Demo) -> Cli:
    """`data-platform` with these arguments, after the demo's days."""

    def call(*arguments: str) -> Ran:
        return platform.command("data-platform", *arguments, seconds=900)

    return call


def test_full_builds_the_models_although_nothing_is_new(cli: Cli) -> None:
    ran = cli("run", "--full")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "5 of 5 runs succeeded" in ran.stdout, "databases, web APIs, addresses, the models, and the publications"
    assert "All results match the answer key." in ran.stdout


def test_publications_are_listed_with_their_versions_and_without_a_version_before_none_comes_back(cli: Cli) -> None:
    listed = {each["dataset"]: each for each in json.loads(cli("publications", "list", "--json").stdout)}
    assert set(listed) == {"carto/parks", "carto/service_requests", "files/stations"}
    (shown,) = json.loads(cli("publications", "show", "carto/parks", "--json").stdout)
    assert shown == listed["carto/parks"] and shown["outcome"] == "published"
    refused = cli("publications", "rollback", "carto/parks", "--yes")
    assert refused.returncode == 1 and "nothing to roll back to" in refused.stderr


def test_another_size_on_the_same_cloud_is_refused(cli: Cli) -> None:
    ran = cli("run", "--size", "200")
    assert ran.returncode == 2
    assert "holds the demo with 150 meters" in ran.stderr


def test_what_was_refused_is_listed_with_its_reason(cli: Cli) -> None:
    listed = json.loads(cli("deliveries", "list", "--status", "quarantined", "--json").stdout)
    assert len(listed) == 9
    assert all(each["reason"] and each["rows_loaded"] == 0 for each in listed)


def test_a_deliverys_rejects_are_shown_with_record_column_reason_and_text(cli: Cli) -> None:
    shown = json.loads(cli("deliveries", "show", "readings_20260307T07-0500.csv", "--json").stdout)
    assert (shown["rows_read"], shown["rows_loaded"], shown["rows_rejected"]) == (150, 146, 4)
    assert [(reject["record_number"], reject["column_name"]) for reject in shown["rejects"]] == [
        (3, "battery_mv"),
        (40, "litres"),
        (41, "meter_id"),
        (42, "read_at"),
    ]
    page = cli("deliveries", "show", shown["delivery_id"][:10], "--rejects", "1", "--offset", "3")
    assert "Rejects 4 to 4 of 4" in page.stdout
    assert "yesterday" in page.stdout


def test_a_refused_deliverys_rejects_are_kept_too(cli: Cli) -> None:
    refused = cli("deliveries", "show", "readings_20260307T09-0500.csv", "--rejects", "100", "--json")
    assert len(json.loads(refused.stdout)["rejects"]) == 50


def test_what_waits_in_inbound_is_shown_with_the_cause(cli: Cli) -> None:
    waiting = json.loads(cli("deliveries", "pending", "--json").stdout)
    assert {each["key"]: each["state"] for each in waiting} == NOT_TAKEN_IN
    assert all(each["why"] for each in waiting)


def test_the_tables_follow_their_contracts(cli: Cli) -> None:
    planned = cli("schema", "plan")
    assert planned.returncode == 0
    assert planned.stdout.count("matches its contract") == 14
    assert cli("schema", "plan", "no/such").returncode == 2


def test_the_doctor_finds_nothing_that_failed(cli: Cli) -> None:
    ran = cli("doctor", "--deep", "--json")
    findings = json.loads(ran.stdout)["findings"]
    assert [each for each in findings if each["state"] == "failed"] == []
    assert ran.returncode == 0
    found = {each["subject"]: each for each in findings}
    assert found["copy decimal(38,38)"]["found"].startswith("4 extremes and NULL came back exactly")
    assert found["dbt may read a raw table that was just created"]["state"] == "ok"
    not_here = found["dbt must not insert into a raw table"]
    assert not_here["state"] == "warning", "the local Snowflake has no rights"
    assert found["scratch tables"]["found"] == "are removed"
    subjects = {each["subject"].split()[0] for each in findings}
    assert {"packages", "lake", "landing", "Snowflake", "SFTP", "Dagster", "dbt"} <= subjects


def test_a_replay_of_a_refused_file_is_taken_in_by_a_selected_run(cli: Cli) -> None:
    (refused,) = json.loads(
        cli("deliveries", "list", "--status", "quarantined", "--feed", "clear_air/stations", "--json").stdout
    )
    put_back = cli("deliveries", "replay", refused["delivery_id"], "--yes")
    assert put_back.returncode == 0, put_back.stderr
    taken = cli("deliveries", "replay", refused["delivery_id"], "--yes")
    assert taken.returncode == 1 and "is taken" in taken.stderr
    ran = cli("run", "--select", "raw/clear_air/*")
    assert ran.returncode == 3, "it is refused again, for the same reason"
    assert "stations_draft.xlsx is quarantined" in ran.stderr
    assert ran.stdout.startswith("feed") and "harbor_water/meter_readings" not in ran.stdout


def test_selecting_nothing_or_a_day_before_the_first_is_wrong_usage(cli: Cli) -> None:
    assert cli("run", "--select", "raw/nobody/*").returncode == 2
    before = cli("run", "--select", "raw/harbor_water/*", "--partition", "2020-01-01")
    assert before.returncode == 2
    assert "before the first day" in before.stderr


def test_runs_have_the_tags_that_the_daemon_gives(platform: Platform, demo: Demo) -> None:
    code = (
        "import dagster as dg, json\n"
        "from data_platform.environment import settings\n"
        "settings().adopt()\n"
        "runs = dg.DagsterInstance.get().get_run_records(dg.RunsFilter(tags={'data_platform/landing': 'true'}))\n"
        "print(json.dumps([[r.dagster_run.status.value, r.dagster_run.tags] for r in runs]))\n"
    )
    runs = json.loads(platform.python(code).stdout)
    assert len(runs) >= 7
    for status, tags in runs:
        assert status == "SUCCESS"
        assert tags["dagster/sensor_name"] == "landing"
        assert "#1@" in tags["dagster/run_key"]


def test_the_ledger_is_rebuilt_as_it_was_after_its_loss_and_until_then_nothing_is_loaded(
    cli: Cli, platform: Platform
) -> None:
    before = _accounts(platform)
    assert "The ledger has all" in cli("ledger", "rebuild", "--plan").stdout
    platform.query("DROP SCHEMA PLATFORM CASCADE")
    refused = cli("run", "--select", "raw/city_records/parks")
    assert refused.returncode == 1 and "data-platform ledger rebuild`" in refused.stderr, refused.stderr
    done = cli("ledger", "rebuild", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert _accounts(platform) == before
    again = cli("ledger", "rebuild", "--yes")
    assert "The ledger has all" in again.stdout and _accounts(platform) == before


LEDGER = {
    "CURRENT_DELIVERIES": "* EXCLUDE (SETTLED_AT)",
    "CURRENT_LOADS": "* EXCLUDE (LOADED_AT, REMOVED_AT, SEQUENCE, POSITION, RUN_ID), REMOVED_AT IS NULL,"
    " POSITION:watermark::VARCHAR, POSITION:sha256::VARCHAR",
    "REJECTS": "*",
    "GEOCODED_ADDRESSES": "* EXCLUDE (RUN_ID)",
    "PUBLICATIONS": "DATASET, VERSION, FINGERPRINT, ROWS_PUBLISHED, URL, PUBLISHED_AT",
}


def _accounts(platform: Platform) -> dict[str, list[str]]:
    """What the ledger says, without when it was recorded."""
    return {
        table: sorted(map(repr, platform.query(f"SELECT {columns} FROM PLATFORM.{table}")))
        for table, columns in LEDGER.items()
    }
