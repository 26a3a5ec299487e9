"""The path that a new user takes, from the docs alone: commands, files and promises are taken from the pages. The tests
are its steps, in order, in a clone whose `data-platform dev` runs all the time."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from data_platform.lake.store import open_bucket
from data_platform.landing.client import s3_client
from data_platform_tests.end_to_end.dev_server import DevServer
from data_platform_tests.end_to_end.newcomer import Newcomer
from data_platform_tests.end_to_end.platform import ROOT, Platform, patience, wait_for
from data_platform_tests.end_to_end.project import blocks, copy_project
from data_platform_tests.servers.local_cloud import private_cloud

pytestmark = pytest.mark.end_to_end

ADD, CHANGE, MODEL, RENAME = (
    ROOT / "docs" / f"{name}.md" for name in ("add-a-feed", "change-a-contract", "dbt", "rename-and-remove")
)
PARTNERS = "data_platform/defs/sources/partners"
FERRIES, CRANES = "harbor_ferries", "harbor_cranes"
CROSSINGS, LIFTS = f"RAW_{FERRIES}.CROSSINGS".upper(), f"RAW_{CRANES}.LIFTS".upper()


def lines(page: Path, beginning: str = "") -> list[str]:
    """The commands of a page that begin so, without their comments."""
    shown = (line.partition("  # ")[0].rstrip() for block in blocks(page, "bash") for line in block.splitlines())
    return [line for line in shown if line.startswith(beginning)]


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Newcomer]:
    project = copy_project(tmp_path_factory.mktemp("newcomer"))
    cloud = private_cloud(project / ".local", project / "data_platform" / "defs")
    try:
        platform = Platform.on(cloud.up())
        dev = DevServer.start(platform, project.parent / "dev.log", project=project)
        try:
            dev.wait_until_ready()
            dev.stop_schedules()
            (promised,) = re.findall(r"`dev` prints `([^`]+)`", ADD.read_text(encoding="utf-8"))
            yield Newcomer(platform, project, dev, promised)
        finally:
            sys.stdout.write(dev.log.read_text()[-4000:])
            assert dev.stop() == []
    finally:
        cloud.down()


def test_a_feed_is_added_while_dev_runs_and_loads_a_file(user: Newcomer) -> None:
    (declaration,) = blocks(ADD, "yaml")
    sample, _ = blocks(ADD, "csv")
    mistake, _ = blocks(ADD, "text")
    scaffold = lines(ADD, "dg scaffold")
    assert len(scaffold) == 2
    seen = len(user.dev.log.read_text())
    for command in scaffold:
        user.run(command)
    assert "defs.yaml files are valid" in user.run("data-platform check"), "what scaffold wrote is valid as it is"
    user.wait_until_served(seen)

    feed = f"{PARTNERS}/{FERRIES}/crossings/defs.yaml"
    (user.project / feed).write_text(declaration.replace("load_mode: replace", "load_mode: upsert"))
    shown = mistake.splitlines()[0].split(": ", 1)[1]
    assert shown in user.run("data-platform check", code=3)
    wait_for(lambda: shown in user.dev.log.read_text(), 60, "dev shows the mistake")
    user.write({feed: declaration})
    assets = user.dev.graphql("{assetNodes {assetKey {path}}}")["assetNodes"]
    assert ["raw", FERRIES, "crossings"] in [each["assetKey"]["path"] for each in assets]

    user.run("data-platform up")
    (user.project / "crossings_20260601.csv").write_text(sample)
    put, _ = lines(ADD, "sftp")
    user.run(put)
    rows = sorted(user.rows(CROSSINGS, 2), key=lambda row: str(row["crossing_id"]))
    assert [(row["crossing_id"], row["passengers"], str(row["fare"])) for row in rows] == [
        ("F-000001", 41, "102.50"),
        ("F-000002", 17, "42.50"),
    ]
    assert str(rows[0]["departed_at"]) == "2026-06-01 10:15:00+00:00", "06:15 in the city"
    listed, shown, previewed = (user.run(command) for command in lines(ADD, "data-platform")[-3:])
    assert "crossings_20260601.csv" in listed
    assert re.search(r"^ *3 +passengers +passengers: 'many' is not a whole number", shown, re.MULTILINE), shown
    assert "F-000002" in previewed


def test_the_receipt_of_a_broken_file_says_what_to_do_and_a_corrected_one_loads(user: Newcomer) -> None:
    _, broken = blocks(ADD, "csv")
    _, told = blocks(ADD, "text")
    put, get = lines(ADD, "sftp")
    put = put.replace("20260601", "20260602")
    file = user.project / "crossings_20260602.csv"
    file.write_text(broken)
    user.run(put)
    receipt = user.project / "receipt.json"
    wait_for(lambda: bool(user.run(get)) and receipt.exists(), 60, "the receipt is there", every=2)
    assert all(line in receipt.read_text() for line in told.splitlines()), receipt.read_text()
    assert user.platform.rows("PLATFORM.REJECTS")[0]["column_name"] == "passengers"

    file.write_text(broken.replace(";", ","))
    user.run(put)
    user.rows(CROSSINGS, 3)


def test_a_contract_is_changed_and_its_files_are_read_again(user: Newcomer) -> None:
    first, second = blocks(CHANGE, "yaml")
    (sample,) = blocks(CHANGE, "csv")
    planned, changed = (block.splitlines() for block in blocks(CHANGE, "text"))
    test_, plan, again, preview, sql, _ = lines(CHANGE)

    user.run(f"dg scaffold defs data_platform.components.SftpPartner sources/partners/{CRANES}")
    feed = f"{PARTNERS}/{CRANES}/lifts/defs.yaml"
    user.write({feed: first})
    user.run("data-platform up")
    (user.project / "lifts_20260601.csv").write_text(sample)
    put, _ = lines(ADD, "sftp")
    user.run(put.replace(FERRIES, CRANES).replace("crossings", "lifts"))
    user.rows(LIFTS, 3)

    user.write({feed: second})
    assert "2 fit the contract, 1 rejects" in user.run(test_, code=3)
    told = user.run(plan, code=3)
    assert all(line in told for line in planned), told
    told = user.run(again)
    assert all(line in told for line in changed), told
    assert "matches its contract" in user.run(plan)
    rows = [(row["lift_id"], str(row["weight"]), row["crane_number"]) for row in user.platform.rows(LIFTS)]
    assert sorted(rows) == [("L-1", "12.500", 3), ("L-3", "7.250", 4)]
    assert "CRANE_NUMBER" in user.run(preview)
    assert "12.5" in user.run(sql)


def test_a_table_that_lost_rows_is_loaded_again(user: Newcomer) -> None:
    (reload,) = lines(CHANGE, "data-platform run --reload")
    with user.platform.snowflake() as connection:
        connection.cursor().execute(f"DELETE FROM {LIFTS} WHERE LIFT_ID = 'L-1'")
    lost = user.run(f"data-platform run --select raw/{CRANES}/lifts", code=3)
    assert f"{CRANES}/lifts: the ledger expects 2 rows, and the table has 1. `{reload}`" in lost
    user.run(reload)
    assert len(user.platform.rows(LIFTS)) == 2


def test_a_model_is_written_and_follows_its_table(user: Newcomer) -> None:
    files = [*blocks(MODEL, "sql"), *blocks(MODEL, "yaml")]
    sources, check, build, show = (line for line in lines(MODEL) if "--check" not in line)
    user.run(sources)
    user.write({block.split()[1]: block for block in files})
    user.run(check)
    user.run(build)
    assert "north" in user.run(show)

    day = "F-000009,2026-06-03 06:15:00,east,250,0.00"
    header = blocks(ADD, "csv")[0].splitlines()[0]
    (user.project / "crossings_20260603.csv").write_text(f"{header}\n{day}\n")
    put, _ = lines(ADD, "sftp")
    user.run(put.replace("20260601", "20260603"))
    sql = "SELECT PASSENGERS FROM MARTS.FCT_FERRIES_DAILY WHERE LINE = 'east'"
    (row,) = wait_for(lambda: user.platform.query(sql), patience(120), "the mart follows its table")
    assert int(row[0]) == 250


def test_a_smoke_test_follows_a_file_through_the_daemons_runs_and_leaves_nothing(user: Newcomer) -> None:
    refused = user.run("data-platform smoke", code=1)
    assert "`data-platform smoke --init`" in refused
    seen = len(user.dev.log.read_text())
    user.run("data-platform smoke --init")
    user.wait_until_served(seen)
    user.run("data-platform up")
    told = user.run("data-platform smoke --minutes 5")
    for stage in (
        "delivered by SFTP",
        "extracted to the lake",
        "loaded: 3 rows",
        "receipt fetched",
        "archived",
        "built",
    ):
        assert stage in told, told
    assert user.platform.number("SELECT COUNT(*) FROM RAW_SMOKE.PROBE") == 0
    for table, column in [("DELIVERIES", "PARTNER"), ("LOADS", "SOURCE"), ("REJECTS", "SOURCE")]:
        assert user.platform.number(f"SELECT COUNT(*) FROM PLATFORM.{table} WHERE {column} = 'smoke'") == 0
    settings = user.platform.settings
    lake = open_bucket(settings, settings.lake_bucket)
    assert [item["path"] for page in lake.list() for item in page if "smoke" in item["path"]] == []
    versions = s3_client(settings).get_paginator("list_object_versions").paginate(Bucket=settings.landing_bucket)
    kept = [each["Key"] for page in versions for each in page.get("Versions", ())]
    assert not [key for key in kept if "probe_" in key]


def test_a_feed_is_renamed_and_removed_and_so_is_its_partner(user: Newcomer, tmp_path: Path) -> None:
    rename, remove, remove_partner = lines(RENAME, "data-platform")
    renamed, removed, removed_partner = (block.splitlines() for block in blocks(RENAME, "text"))
    model = f"dbt_project/models/staging/{CRANES}/stg_{CRANES}__lifts.sql"
    user.run("data-platform dbt-sources")
    user.write({model: f"select *\nfrom {{{{ source('{CRANES}', 'lifts') }}}}\n"})

    def told(command: str) -> str:
        """What a command says once no run is in its way."""

        def said() -> str | None:
            try:
                return user.run(command)
            except AssertionError as refused:
                if "are under way" not in str(refused):
                    raise
                return None

        return wait_for(said, patience(120), "no run is in the way", every=2)

    said = told(rename)
    assert all(line in said for line in renamed), said
    assert len(user.platform.rows(f"RAW_{CRANES}.HOISTS".upper())) == 2
    assert f"reads the source {CRANES}.lifts" in user.run("data-platform check", code=3)
    (user.project / model).unlink()
    wait_for(lambda: _has_asset(user, "hoists"), patience(120), "dev serves the new name")

    put, _ = lines(ADD, "sftp")
    manifest = f"{PARTNERS}/{CRANES}/hoists/defs.yaml"
    text = (user.project / manifest).read_text()
    user.write({manifest: text.replace("{settle_seconds: 1}", "{trigger: '{name}.done'}")})
    user.run(put.replace(FERRIES, CRANES).replace("crossings", "lifts"))
    said = told(remove)
    assert all(line in said for line in removed), said
    left = f"SELECT COUNT(*) FROM INFORMATION_SCHEMA.TABLES WHERE TABLE_SCHEMA = 'RAW_{CRANES.upper()}'"
    assert user.platform.number(left) == 0
    key = Path(shutil.copy2(user.platform.state_dir / "keys" / "partners" / CRANES, tmp_path / "key"))
    assert user.platform.sftp(CRANES, "ls /receipts", key=key).returncode == 0

    said = told(remove_partner)
    assert all(line in said for line in removed_partner), said
    assert "Permission denied" in user.platform.sftp(CRANES, "ls /receipts", key=key).stderr
    user.run("data-platform check")
    wait_for(lambda: not _has_asset(user, "hoists"), patience(120), "dev serves no asset of the feed")


def _has_asset(user: Newcomer, table: str) -> bool:
    assets = user.dev.graphql("{assetNodes {assetKey {path}}}")["assetNodes"]
    return ["raw", CRANES, table] in [each["assetKey"]["path"] for each in assets]
