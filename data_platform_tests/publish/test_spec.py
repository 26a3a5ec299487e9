"""What a publication may declare, and that personal columns are never published."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from data_platform.cli.check import personal_columns
from data_platform.contract import Contract
from data_platform.feeds.files import FileFeedSpec
from data_platform.publish.spec import Dataset, Geometry, declared_datasets
from data_platform_tests.publish.conftest import trees


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"columns": ("name",)}, "key: 'id' is not one of the columns"),
        ({"columns": ("id", "the_geom")}, "'the_geom' is listed twice, or is a name that publishing adds"),
        ({"columns": ("id",), "indexes": ("name",)}, "indexes: 'name' is not one of the columns"),
        ({"geometry": {"longitude": "lon"}}, "expected {longitude: <column>, latitude: <column>}"),
        ({"from": "dim_trees"}, "String should match pattern"),
        ({"rows_may_change_by": 0}, "greater than 0"),
    ],
)
def test_a_declaration_that_makes_no_sense_is_refused(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        trees(**changed)


def test_a_name_has_room_for_that_of_the_version_before() -> None:
    with pytest.raises(ValidationError):
        Dataset(name="x" * 51, publication=trees().publication)


def test_datasets_are_read_from_their_folders(tmp_path: Path) -> None:
    for name in ("elms", "oaks"):
        file = tmp_path / "publish/carto" / name / "defs.yaml"
        file.parent.mkdir(parents=True)
        file.write_text(
            "type: data_platform.components.CartoDataset\n"
            "attributes: {from: marts/trees, description: Trees, owners: ['team:parks'], key: [id]}\n"
        )
    assert [dataset.id for dataset in declared_datasets(tmp_path)] == ["carto/elms", "carto/oaks"]


@pytest.mark.parametrize(
    ("columns", "geometry", "refused"),
    [
        (None, None, {"owner": "owner_name", "lat": "home_lat"}),
        (("id", "owner"), None, {"owner": "owner_name"}),
        (("id",), None, {}),
        (("id",), Geometry(longitude="lon", latitude="lat"), {"lat": "home_lat"}),
    ],
)
def test_personal_columns_are_refused_through_models(
    tmp_path: Path, columns: Any, geometry: Geometry | None, refused: dict[str, str]
) -> None:
    write = {
        "staging/stg_trees": "select id, upper(owner_name) as owner, lon, home_lat from {{ source('city', 'trees') }}",
        "marts/trees": "select id, owner, lon, home_lat + 1 as lat from {{ ref('stg_trees') }}",
    }
    for name, text in write.items():
        file = tmp_path / f"models/{name}.sql"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    given = [("id", False), ("owner_name", True), ("lon", False), ("home_lat", True)]
    contract = Contract.model_validate(
        {
            "columns": [{"name": name, "type": "string", "personal": personal} for name, personal in given],
            "drift": "reject",
        }
    )
    feed = FileFeedSpec.of({"source": "city", "table": "trees", "pattern": ".*", "contract": contract.model_dump()})
    dataset = trees(columns=columns, geometry=geometry, indexes=())
    assert set(personal_columns(tmp_path, [feed], [dataset])) == {
        f"carto/trees: {name} is made of the personal column city/trees.{source}, which is never published"
        for name, source in refused.items()
    }
