"""`data-platform discover` for Airtable's bases and Knack's applications, from their doubles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from data_platform.cli import discover as command
from data_platform.cli import main
from data_platform.environment import settings
from data_platform.extract.web.discovery import _airtable_type, _knack_type
from data_platform.feeds.declared import declared_feeds
from data_platform.local_cloud.web.airtable import Field
from data_platform.local_cloud.web.knack import KnackField
from data_platform_tests.extract.web.tables import Town, airtable_town, knack_town
from data_platform_tests.local_cloud.web import apis

BASE = f"""\
type: data_platform.components.AirtableTables

attributes:
  description: The community programmes.  # by hand
  time_zone: America/New_York
  owners: ["team:programmes"]
  connection: programmes
  base: {apis.BASE}
  tables: []
"""


@pytest.fixture(autouse=True)
def defs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(command, "DEFS", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def discover(town: Town, name: str, *arguments: str) -> Result:
    settings.cache_clear()
    variable = f"DATA_PLATFORM_CONNECTION_{name.upper()}"
    try:
        done = CliRunner().invoke(main, ["discover", name, *arguments], env={variable: town.url()})
    finally:
        settings.cache_clear()
    assert town.key not in done.output
    return done


def declare(defs: Path, text: str = BASE) -> Path:
    file = defs / "sources" / "airtable" / "programmes" / "defs.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    return file


def test_a_bases_table_is_declared_as_its_schema_says_and_read(defs: Path) -> None:
    with airtable_town(120) as town:
        file = declare(defs)
        done = discover(town, "programmes", "--table", "Programmes", "--write")
        assert done.exit_code == 0, done.output
        assert "  description: The community programmes.  # by hand\n" in file.read_text()
        (feed,) = declared_feeds(defs)
        assert (feed.name, feed.contract.key) == ("programmes/programmes", ("record_id",))
        assert [(column.name, column.type, column.header) for column in feed.contract.columns] == [
            ("record_id", "string", "id"),
            ("created_at", "timestamp", "createdTime"),
            ("name", "string", apis.NAME),
            ("active", "boolean", apis.ACTIVE),
            ("budget", "decimal(18,2)", apis.BUDGET),
            ("tags", "json", apis.TAGS),
        ]
        assert len(town.read(feed).rows) == 120  # type: ignore[arg-type]
        assert "1 tables are as the catalog describes them" in discover(town, "programmes").output


def test_what_changes_in_a_base_is_shown_and_a_label_is_no_change(defs: Path) -> None:
    with airtable_town(1) as town:
        file = declare(defs)
        discover(town, "programmes", "--table", apis.TABLE, "--write")
        fields = town.service.bases[apis.BASE][0].fields
        fields[0].name = "Title"
        assert "1 tables are as" in discover(town, "programmes").output
        fields[2] = Field(apis.BUDGET, "Budget", "singleLineText")
        fields[3] = Field("fldLate0000000001", "Late", "number", {"precision": 0})
        before = file.read_text()
        shown = discover(town, "programmes").output
        assert "-          - {name: tags" in shown
        assert "+          - {name: late, type: int64, source_name: fldLate0000000001, description: Late}" in shown
        assert "{name: budget, type: string" in shown
        assert "if tags was renamed to late" in shown
        assert file.read_text() == before, "nothing is written without --write"


def test_an_applications_object_is_begun_with_its_times_zone(defs: Path) -> None:
    with knack_town(30) as town:
        done = discover(town, "grants", "--new", "KnackObjects", "--table", "Grants", "--write")
        assert done.exit_code == 0, done.output
        (feed,) = declared_feeds(defs)
        assert [(column.name, column.type, column.header) for column in feed.contract.columns] == [
            ("record_id", "string", "id"),
            ("name", "string", "field_1"),
            ("opened", "timestamp", "field_2"),
            ("site", "json", "field_3"),
        ]
        assert feed.contract.column("opened").time_zone == "UTC"
        assert "check time_zone" in done.output
        town.service.objects[0].fields.append(KnackField("field_9", "Paid", "currency"))
        assert '{name: paid, type: "decimal(18,2)", source_name: field_9' in discover(town, "grants").output


def test_a_table_that_is_not_there_is_told_with_those_that_are(defs: Path) -> None:
    with airtable_town(1) as town:
        declare(defs)
        shown = discover(town, "programmes", "--table", "Sites", "--schema", "public").output
        assert "there is no table Sites in the base; it has tblProgrammes00001 (Programmes)" in shown
        assert "a base has no schema public" in shown


def test_a_key_that_may_not_read_the_schema_is_explained(defs: Path) -> None:
    with airtable_town(1) as town:
        declare(defs, BASE.replace(apis.BASE, "appXXXXXXXXXXXXXX"))
        done = discover(town, "programmes", "--table", "Programmes")
        assert done.exit_code == 1
        assert "answered 403" in done.output and "schema.bases:read" in done.output


@pytest.mark.parametrize(
    ("name", "options", "type_"),
    [
        ("singleSelect", {"choices": []}, "string"),
        ("multipleSelects", {"choices": []}, "json"),
        ("multipleAttachments", {}, "json"),
        ("multipleRecordLinks", {}, "json"),
        ("number", {"precision": 0}, "int64"),
        ("number", {"precision": 3}, "decimal(18,3)"),
        ("currency", {"precision": 0, "symbol": "$"}, "decimal(18,0)"),
        ("percent", {"precision": 1}, "float"),
        ("formula", {"result": {"type": "number", "options": {"precision": 2}}}, "decimal(18,2)"),
        ("formula", {"isValid": False, "result": None}, "json"),
        ("multipleLookupValues", {"result": {"type": "number"}}, "json"),
        ("lastModifiedTime", {"result": {"type": "dateTime"}}, "timestamp"),
        ("createdTime", {"result": {"type": "date"}}, "date"),
        ("somethingNew", {}, "json"),
    ],
)
def test_a_type_of_airtable(name: str, options: dict[str, Any], type_: str) -> None:
    assert _airtable_type(name, options)[0] == type_


@pytest.mark.parametrize(
    ("name", "format", "type_"),
    [
        ("number", {"precision": "0"}, "int64"),
        ("number", {"precision": "2"}, "decimal(18,2)"),
        ("number", {"precision": "none"}, "float"),
        ("date_time", {"time_format": "Ignore Time", "date_format": "mm/dd/yyyy"}, "date"),
        ("date_time", {"time_format": "HH:MM am", "date_format": "Ignore Date"}, "time"),
        ("date_time", {"time_format": "HH:MM am", "calendar": True}, "json"),
        ("multiple_choice", {"type": "single"}, "string"),
        ("multiple_choice", {"type": "checkboxes"}, "json"),
        ("connection", {}, "json"),
        ("boolean", {"format": "yes_no"}, "boolean"),
    ],
)
def test_a_type_of_knack(name: str, format: dict[str, Any], type_: str) -> None:
    assert _knack_type(name, format)[0] == type_
