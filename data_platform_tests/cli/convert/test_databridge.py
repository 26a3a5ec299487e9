"""Config files of earlier systems become this platform's YAML, and what has no counterpart is listed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from data_platform.cli.convert import command
from data_platform.cli.convert.databridge import Converted, NotAConfig, convert, read_config
from data_platform.feeds.databases import SqlTableSpec
from data_platform.feeds.declared import declared_feeds
from data_platform.publish.spec import CartoPublication, declared_datasets

OLD = """\
schedule: '0 7 * * *'
table_schema: gis_lni
table_name: LI_VIOLATIONS
select_users: [publicuser, tileuser]
indexes_fields: [address, caseNumber]
geometry_type: POINT
geometry_srid: 2272
upload_to_ago: true
"""
BY_FOLDER = """\
schedule_interval: 25 8 * * 2-6
upload_to_carto: true
upload_to_ago:
carto_users:
  - publicuser
indexes:
  - address
"""
BY_ACCOUNT = (
    "table_name: parcels\naccount_name: citygeo\nprimary_keys: parcel_id,unit\nstatus: enabled\ntrack_history: true\n"
)
KNACK = "schedule_interval: 25 8 * * 2-6\nupload_to_carto: true\nknack_object_id: 2\nknack_conn_id: knack_test\n"


def written(folder: Path, **files: str) -> list[Path]:
    paths = []
    for name, text in files.items():
        path = folder / f"{name}.yml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        paths.append(path)
    return paths


def made(paths: list[Path]) -> Converted:
    return convert([read_config(path) for path in paths], connection="databridge", owner="team:x", time_zone="UTC")


def test_a_table_becomes_a_feed_a_publication_and_a_model_that_can_be_read(tmp_path: Path) -> None:
    result = made(written(tmp_path / "old", violations=OLD))
    for name, text in result.files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (feed,) = declared_feeds(tmp_path / "data_platform" / "defs")
    assert isinstance(feed, SqlTableSpec)
    assert (feed.name, feed.from_, feed.connection, feed.load_mode) == (
        "gis_lni/li_violations",
        "gis_lni.LI_VIOLATIONS",
        "databridge",
        "replace",
    )
    assert [(column.name, column.type) for column in feed.contract.columns] == [
        ("objectid", "string"),
        ("address", "string"),
        ("casenumber", "string"),
        ("shape", "geometry(2272)"),
    ]
    (dataset,) = declared_datasets(tmp_path / "data_platform" / "defs")
    assert dataset.id == "carto/li_violations" and isinstance(dataset.publication, CartoPublication)
    assert dataset.publication.select_users == ("publicuser", "tileuser")
    assert dataset.publication.indexes == ("address", "casenumber")
    model = result.files["dbt_project/models/staging/gis_lni/stg_gis_lni__li_violations.sql"]
    assert "source('gis_lni', 'li_violations')" in model and "st_transform(shape, 4326) as shape" in model
    (notes,) = result.notes.values()
    assert [note.split(":")[0] for note in notes] == ["it names no key", "upload_to_ago"]
    assert feed.schedule == "0 7 * * *"


def test_the_page_shows_what_the_command_makes(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "coming-from.md").read_text(encoding="utf-8")
    section = page.split("## From a config-driven pipeline")[1]
    old, *new = re.findall(r"^```yaml\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    (config,) = map(read_config, written(tmp_path, violations=old))
    result = convert([config], connection="databridge", owner="team:data", time_zone="America/New_York")
    texts = [text for name, text in result.files.items() if name.endswith(".yaml")]
    assert [yaml.safe_load(text) for text in new] == [yaml.safe_load(text) for text in texts]


def test_the_folder_and_the_files_name_say_what_the_file_leaves_out(tmp_path: Path) -> None:
    by_folder, by_name = written(tmp_path / "lni", permits=BY_FOLDER, gis_opa__assessments=BY_FOLDER)
    assert (read_config(by_folder).schema, read_config(by_folder).table) == ("lni", "permits")
    assert (read_config(by_name).schema, read_config(by_name).table) == ("gis_opa", "assessments")


@pytest.mark.parametrize(
    ("schedules", "kept", "noted"),
    [
        (["@daily"], "0 0 * * *", []),
        (["25 8 * * 2-6", "25 8 * * 2-6", "0 1 * * *"], "25 8 * * 2-6", ["schedule '0 1 * * *': its source has one"]),
        (
            ["0 7 * * MON"],
            None,
            ["schedule '0 7 * * MON': it isn't cron with five fields of numbers; its source is read"],
        ),
        (["", "@hourly"], "0 * * * *", []),
    ],
)
def test_a_source_has_the_schedule_that_most_of_its_tables_had(
    tmp_path: Path, schedules: list[str], kept: str | None, noted: list[str]
) -> None:
    files = {f"t{n}": f"table_schema: lni\ntable_name: t{n}\nschedule: '{at}'\n" for n, at in enumerate(schedules)}
    result = made(written(tmp_path, **files))
    (text,) = result.files.values()
    assert yaml.safe_load(text)["attributes"].get("schedule") == kept
    notes = [note for of_file in result.notes.values() for note in of_file if note.startswith("schedule")]
    assert len(notes) == len(noted) and all(note.startswith(said) for note, said in zip(notes, noted, strict=True))


def test_a_table_that_isnt_published_is_only_read(tmp_path: Path) -> None:
    result = made(written(tmp_path, parcels=BY_ACCOUNT))
    assert list(result.files) == ["data_platform/defs/sources/databases/citygeo/defs.yaml"]
    assert "load_mode: history" in result.files["data_platform/defs/sources/databases/citygeo/defs.yaml"]
    assert "- parcel_id\n" in result.files["data_platform/defs/sources/databases/citygeo/defs.yaml"]


def test_a_knack_object_is_only_named(tmp_path: Path) -> None:
    result = made(written(tmp_path / "ppr", facilities=KNACK))
    assert result.files == {} and "object_2" in str(dict(result.notes))


@pytest.mark.parametrize("text", ["- a list", "some: thing", "a: [", "table_name: t\ngeometry_srid: wide"])
def test_another_file_is_refused(tmp_path: Path, text: str) -> None:
    (path,) = written(tmp_path, other=text)
    with pytest.raises(NotAConfig, match=r"other\.yml"):
        read_config(path)


def test_the_command_prints_or_writes_and_overwrites_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "ROOT", tmp_path)
    written(tmp_path / "old" / "lni", permits=BY_FOLDER, violations=OLD, notes="- none")
    runner = CliRunner()
    shown = runner.invoke(command.convert, ["databridge-config", str(tmp_path / "old")])
    assert "--- data_platform/defs/publish/carto/permits/defs.yaml" in shown.output
    assert "2 tables converted, 1 files left out" in shown.output
    assert not (tmp_path / "data_platform").exists()
    wrote = runner.invoke(command.convert, ["databridge-config", str(tmp_path / "old" / "lni"), "--write"])
    assert wrote.output.count("written: ") == 6 and wrote.exit_code == 3, "one file is no configuration"
    again = runner.invoke(command.convert, ["databridge-config", str(tmp_path / "old" / "lni"), "--write"])
    assert "written: " not in again.output and "is there already" in again.output
