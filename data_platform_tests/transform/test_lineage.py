"""Which models read a column, from the SQL of the project's models and of small ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_platform.cli.project import DBT_PROJECT, declared
from data_platform.contract import Contract
from data_platform.feeds.files import FileFeedSpec
from data_platform.transform.lineage import Lineage


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A dbt project with a staging model of city/permits."""
    write(
        tmp_path / "models/staging/stg_permits.sql",
        "{{ config(materialized='view') }} with permits as (select * from {{ source('city', 'permits') }})"
        " select id, {{ cents('fee') }} as fee_cents from permits where {{ adapter.dispatch('x')() }} is null",
    )
    write(tmp_path / "macros/cents.sql", "{% macro cents(column) %}({{ column }} * 100){% endmacro %}")
    write(tmp_path / "macros/tests.sql", "{% test positive(model) %}select 1{% endtest %}")
    return tmp_path


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def permits(*names: str, drift: str = "reject") -> FileFeedSpec:
    contract = Contract.model_validate(
        {"columns": [{"name": each, "type": "string"} for each in names], "drift": drift}
    )
    return FileFeedSpec.of({"source": "city", "table": "permits", "pattern": ".*", "contract": contract.model_dump()})


def test_a_column_is_followed_through_models_and_macros(project: Path) -> None:
    write(project / "models/fees.sql", "select sum(fee_cents) / 100 as fees from {{ ref('stg_permits') }}")
    write(project / "models/ids.sql", "select id from {{ ref('stg_permits') }} where fee_cents > 0")
    write(project / "models/others.sql", "select id from {{ ref('stg_permits') }}")
    lineage = Lineage(project, [permits("id", "fee")])
    assert lineage.readers("city/permits", "fee") == {"stg_permits": ["fee_cents"], "fees": ["fees"], "ids": []}
    assert lineage.unread == set()


def test_a_column_that_no_contract_has_is_missing(project: Path) -> None:
    (model,) = Lineage(project, [permits("id", "cost")]).models()
    assert model.missing == ["fee"]
    lineage = Lineage(project, [permits("id", "cost")], {"city/permits": ["fee"]})
    assert list(lineage.readers("city/permits", "fee")) == ["stg_permits"], "the table still has it"


def test_a_column_that_drift_may_have_added_is_not_missing(project: Path) -> None:
    (model,) = Lineage(project, [permits("id", drift="evolve")]).models()
    assert model.missing == []


def test_a_snapshot_passes_its_columns_on(project: Path) -> None:
    write(project / "snapshots/history.yml", "snapshots: [{name: history, relation: ref('stg_permits')}]")
    write(project / "models/now.sql", "select * from {{ ref('history') }} where dbt_valid_to is null")
    found = Lineage(project, [permits("id", "fee")]).readers("city/permits", "fee")
    assert found == {"stg_permits": ["fee_cents"], "history": ["fee_cents"], "now": ["fee_cents"]}


def test_a_model_that_only_dbt_can_read_is_named(project: Path) -> None:
    write(project / "models/odd.sql", "select {{ star('x') from")
    write(project / "models/seeded.sql", "select * from {{ ref('a_seed') }}")
    lineage = Lineage(project, [permits("id", "fee")])
    assert list(lineage.readers("city/permits", "fee")) == ["stg_permits"]
    assert lineage.unread == {"odd", "seeded"}


def test_every_model_of_this_project_is_read() -> None:
    lineage = Lineage(DBT_PROJECT, declared())
    assert [model.name for model in lineage.models() if model.missing] == []
    assert lineage.unread == set()
    assert lineage.readers("harbor_water/meter_readings", "litres") == {
        "stg_harbor_water__meter_readings": ["litres"],
        "int_meter_readings": ["litres"],
        "fct_meter_readings_daily": ["litres"],
        "city_daily": ["litres"],
    }
