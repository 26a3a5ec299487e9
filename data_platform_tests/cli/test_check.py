"""`data-platform check` on the platform's own files, and on broken ones."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from data_platform.cli import check, main
from data_platform.cli.errors import DataProblem
from data_platform.cli.inputs import unknown_inputs
from data_platform.cli.project import DBT_PROJECT, DEFS
from data_platform.feeds.declared import declared_feeds
from data_platform.feeds.spec import FeedSpec
from data_platform.publish.spec import declared_datasets


@pytest.fixture
def defs(tmp_path: Path) -> Path:
    shutil.copytree(DEFS, tmp_path / "defs")
    return tmp_path / "defs"


def test_the_platforms_own_definitions_are_right() -> None:
    result = CliRunner().invoke(main, ["check"])
    assert result.exit_code == 0, result.output
    assert "defs.yaml files are valid" in result.output


def test_a_mistake_is_shown_with_line_and_caret(defs: Path) -> None:
    file = defs / "sources/partners/harbor_water/meter_readings/defs.yaml"
    file.write_text(file.read_text().replace("load_mode: append", "load_mode: upsert"))
    result = CliRunner().invoke(main, ["check", str(defs)])
    assert result.exit_code == 3
    (place,) = [line for line in result.output.splitlines() if line.startswith(str(file))]
    number = int(place.removeprefix(f"{file}:").split(":")[0])
    assert "load_mode" in file.read_text().splitlines()[number - 1]
    assert any(line.strip() == "^" for line in result.output.splitlines())


def test_a_feed_outside_a_partners_folder_is_a_mistake(defs: Path) -> None:
    partner = defs / "sources/partners/clear_air/defs.yaml"
    partner.unlink()
    result = CliRunner().invoke(main, ["check", str(defs)])
    assert result.exit_code == 3
    assert "put a FileFeed into a folder directly below its SftpPartner's folder" in result.output


def test_one_folder_can_be_checked_alone(defs: Path) -> None:
    result = CliRunner().invoke(main, ["check", str(defs / "sources/partners/harbor_water")])
    assert result.exit_code == 0
    assert "All 2 defs.yaml files are valid" in result.output


def test_two_sources_of_one_name_are_a_mistake(defs: Path) -> None:
    shutil.copytree(defs / "sources/partners/harbor_water", defs / "sources/others/harbor_water")
    result = CliRunner().invoke(main, ["check", str(defs)])
    assert result.exit_code == 3
    assert "declares a source harbor_water too; rename one's folder" in result.output


def test_a_model_that_reads_a_column_of_no_contract_is_a_mistake_also_after_a_check_that_found_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def with_columns(*names: str) -> list[FeedSpec]:
        columns = [{"name": name, "type": "string"} for name in names]
        return [FeedSpec.of({"source": "city", "table": "permits", "contract": {"columns": columns}})]

    (tmp_path / "models").mkdir()
    (tmp_path / "target").mkdir()
    model = tmp_path / "models" / "stg_permits.sql"
    model.write_text("select permit, kind from {{ source('city', 'permits') }}")
    monkeypatch.setattr(check, "declared", lambda: with_columns("permit", "kind"))
    check._check_columns(tmp_path)
    monkeypatch.setattr(check, "declared", lambda: with_columns("permit"))
    for _ in range(2):
        with pytest.raises(DataProblem, match="1 columns that models read are in no contract"):
            check._check_columns(tmp_path)
    assert f"{model}: kind is not a column of anything that the model reads" in capsys.readouterr().out
    monkeypatch.setattr(check, "declared", lambda: with_columns("permit", "kind"))
    check._check_columns(tmp_path)
    model.write_text("select permit, class from {{ source('city', 'permits') }}")
    with pytest.raises(DataProblem):
        check._check_columns(tmp_path)


@pytest.mark.parametrize(
    ("file", "right", "wrong", "said"),
    [
        (
            "publish/carto/parks",
            "marts/dim_parks",
            "marts/dim_park",
            "no model marts/dim_park; did you mean marts/dim_par",
        ),
        (
            "sources/geocoders/address_search",
            "raw/city_records/service_requests",
            "raw/city_record/service_requests",
            "neither a feed nor a model is called raw/city_record/service_requests; did you mean raw/city_records/serv",
        ),
        (
            "sources/geocoders/address_search",
            "column: address",
            "column: adress",
            "no column adress; did you mean address",
        ),
    ],
)
def test_what_is_published_or_geocoded_must_be_there(defs: Path, file: str, right: str, wrong: str, said: str) -> None:
    def found() -> list[str]:
        return list(unknown_inputs(DBT_PROJECT, defs, declared_feeds(defs), declared_datasets(defs)))

    assert found() == []
    path = defs / file / "defs.yaml"
    path.write_text(path.read_text().replace(right, wrong, 1))
    (mistake,) = found()
    assert mistake.startswith(f"{path}:") and said in mistake
    assert wrong in mistake.splitlines()[1], "the line is shown"
