"""What somebody types wrongly in a `defs.yaml` is named with its file, table and field, and with what is expected."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import data_platform
from data_platform.feeds.declared import declared_feeds
from data_platform.feeds.documents import DefinitionInvalid
from data_platform.publish.spec import declared_datasets

DEFS = Path(data_platform.__file__).parent / "defs"
AIRTABLE = "sources/airtable/community_programmes"
KNACK = "sources/knack/community_grants"
GEOCODER = "sources/geocoders/address_search"
CARTO = "publish/carto/parks"


@pytest.mark.parametrize(
    ("folder", "right", "wrong", "said"),
    [
        (AIRTABLE, r"base: \S+", "base: Programmes", "base: 'Programmes' is not right here; expected .* appLkNDIC"),
        (AIRTABLE, r"from: tbl\S+", "from: Programmes", r"tables\.programmes\.from: 'Programmes' .* tbl5pVLrp2rfN"),
        (AIRTABLE, r"load_mode: replace", "load_mode: append", "tables.programmes: load_mode append: expected replace"),
        (AIRTABLE, r"source_name: fld\w+", "source_name: Name", "column name: source_name must be the id of its field"),
        (AIRTABLE, r"(?s)tables:.*", "tables: {programmes: tbl1}\n", "tables: expected a list"),
        (AIRTABLE, r"type: string", "type: text", r"columns\.programme_id\.type: 'text' is not a column type"),
        (KNACK, r"from: object_\d+", "from: 12", r"tables\.grants\.from: expected text, and 12 is none"),
        (GEOCODER, r"type: address_search, per_second: \d+", "type: google", "one of 'address_search', 'census'"),
        (GEOCODER, r"provider: \{.*\}", "provider: census", r"provider: expected \{type: ..., per_second: ..., city"),
        (GEOCODER, r"from: \S+", "from: requests", "expected text like this: .*raw/city_records/permits or staging/"),
        (
            GEOCODER,
            r"per_run: \d+",
            "per_run: -1",
            "cap.per_run: -1 is out of range; expected a number greater than or",
        ),
        (CARTO, r"from: \S+", "from: parks", "from: 'parks' is not right here; expected .* marts/dim_parks"),
        (CARTO, r"geometry: .*", "geometry: shape", r"geometry: expected \{longitude: ..., latitude: ..., column"),
        (
            CARTO,
            r"geometry: .*",
            "geometry: {lon: x}",
            "geometry.lon: unknown field 'lon'; expected longitude, latitude, column",
        ),
        (CARTO, r"select_users: .*", "select_users: publicuser", "select_users: expected a list"),
        (CARTO, r"columns: .*", "colums: [name]", "unknown field 'colums'; did you mean 'columns'"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_expected(
    tmp_path: Path, folder: str, right: str, wrong: str, said: str
) -> None:
    with pytest.raises(DefinitionInvalid, match=said) as raised:
        _declared(tmp_path, folder, right, wrong)
    assert str(raised.value).startswith(f"{tmp_path / folder}/defs.yaml:")


@pytest.mark.parametrize("wrong", ["connection: https://:planted@api.example.org", "connection: c\n  token: planted"])
def test_a_secret_that_somebody_writes_into_yaml_is_refused_and_not_repeated(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(DefinitionInvalid) as raised:
        _declared(tmp_path, AIRTABLE, r"connection: \S+", wrong)
    assert "planted" not in str(raised.value)


def _declared(defs: Path, folder: str, right: str, wrong: str) -> None:
    text = (DEFS / folder / "defs.yaml").read_text(encoding="utf-8")
    changed = re.sub(right, lambda _: wrong, text, count=1)
    assert changed != text
    (defs / folder).mkdir(parents=True)
    (defs / folder / "defs.yaml").write_text(changed, encoding="utf-8")
    declared_feeds(defs)
    declared_datasets(defs)
