from __future__ import annotations

import uuid

import pytest
from snowflake.connector import SnowflakeConnection

from data_platform.contract import EXTRACT_COLUMNS, Column, Contract
from data_platform.feeds.files import FileFeedSpec
from data_platform.warehouse.schema import (
    SchemaPlan,
    SchemaRefused,
    TableColumn,
    apply_schema,
    plan_changes,
    plan_schema,
    read_columns,
)
from data_platform.warehouse.table import TableRef, raw_table

TABLE = TableRef("DB", "RAW_CITY", "PERMITS")
ALTER = 'ALTER TABLE "DB"."RAW_CITY"."PERMITS" ALTER COLUMN "FEE"'


def plan(
    old: str | None, new: str, *, was_null: bool = True, nullable: bool = True, nulls: dict[str, int] | None = None
) -> SchemaPlan:
    """The plan for a table with a FEE of type `old` (none) whose contract says `new`."""
    there = [TableColumn("ID", "VARCHAR", False, "")]
    there += [TableColumn("FEE", old, was_null, "")] if old else []
    return plan_changes(
        TABLE,
        there,
        [Column(name="id", type="string", nullable=False), Column(name="fee", type=new, nullable=nullable)],
        nulls=nulls,
    )


def test_a_new_column_is_added() -> None:
    (change,) = plan(None, "decimal(10,2)").changes
    assert change.sql == ('ALTER TABLE "DB"."RAW_CITY"."PERMITS" ADD COLUMN IF NOT EXISTS "FEE" NUMBER(10,2)')
    assert change.reason == "FEE is new in the contract"


@pytest.mark.parametrize(
    ("old", "new", "sql"),
    [
        ("NUMBER(10,2)", "decimal(12,2)", "SET DATA TYPE NUMBER(12,2)"),
        ("NUMBER(3,0)", "int64", "SET DATA TYPE NUMBER(19,0)"),
        ("VARCHAR(20)", "string", "SET DATA TYPE VARCHAR"),
    ],
)
def test_what_widens_is_widened(old: str, new: str, sql: str) -> None:
    assert [change.sql for change in plan(old, new).changes] == [f"{ALTER} {sql}"]


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("NUMBER(12,2)", "decimal(10,2)", "narrower"),
        ("NUMBER(19,0)", "int8", "narrower"),
        ("NUMBER(10,2)", "decimal(12,3)", "can't change the type in place"),
        ("VARCHAR", "date", "can't change the type in place"),
        ("NUMBER(10,2)", "float", "can't change the type in place"),
        ("TIMESTAMP_NTZ", "timestamp", "can't change the type in place"),
    ],
)
def test_what_could_lose_values_is_refused(old: str, new: str, why: str) -> None:
    (refusal,) = plan(old, new).refusals
    assert old in refusal
    assert why in refusal


def test_a_column_that_may_be_null_now_is_loosened() -> None:
    changes = plan("NUMBER(10,2)", "decimal(10,2)", was_null=False).changes
    assert [change.sql for change in changes] == [f"{ALTER} DROP NOT NULL"]


def test_a_column_that_is_required_now_never_stops_a_load() -> None:
    required = plan("NUMBER(10,2)", "decimal(10,2)", nullable=False)
    assert required.changes == required.refusals == ()
    added = plan(None, "decimal(10,2)", nullable=False)
    assert [change.sql.rpartition("EXISTS ")[2] for change in added.changes] == ['"FEE" NUMBER(10,2)']
    assert "the rows that are there have no value for it" in added.notes[0]


@pytest.mark.parametrize(("nulls", "sql"), [(0, [f"{ALTER} SET NOT NULL"]), (3, [])])
def test_nulls_are_forbidden_once_there_are_none(nulls: int, sql: list[str]) -> None:
    required = plan("NUMBER(10,2)", "decimal(10,2)", nullable=False, nulls={"FEE": nulls})
    assert [change.sql for change in required.changes] == sql
    assert [note.partition(" have NULL")[0] for note in required.notes] == (
        ["FEE may no longer be null. 3 rows that are there"] if nulls else []
    )


def test_a_type_that_must_be_read_again_says_by_which_command() -> None:
    (refusal,) = plan("VARCHAR", "date").refusals
    assert "`data-platform feed re-extract city/permits`" in refusal


def test_a_removed_column_stays_and_may_be_null_or_is_dropped() -> None:
    there = [TableColumn("ID", "VARCHAR", False, ""), TableColumn("FEE", "NUMBER(10,2)", False, "")]
    wanted = [Column(name="id", type="string", nullable=False)]
    kept = plan_changes(TABLE, there, wanted)
    assert [change.sql for change in kept.changes] == [f"{ALTER} DROP NOT NULL"]
    assert kept.removed == ("fee",)
    assert "it stays with its values" in kept.notes[0]
    dropped = plan_changes(TABLE, there, wanted, drop_removed=True)
    assert [change.sql for change in dropped.changes] == ['ALTER TABLE "DB"."RAW_CITY"."PERMITS" DROP COLUMN "FEE"']


def test_a_renamed_column_keeps_its_values_and_may_widen_at_once() -> None:
    there = [TableColumn("FEE", "NUMBER(10,2)", True, "")]
    wanted = [Column.model_validate({"name": "cost", "type": "decimal(12,2)", "renamed_from": "fee"})]
    renamed = plan_changes(TABLE, there, wanted)
    assert [change.sql.removeprefix('ALTER TABLE "DB"."RAW_CITY"."PERMITS" ') for change in renamed.changes] == [
        'RENAME COLUMN "FEE" TO "COST"',
        'ALTER COLUMN "COST" SET DATA TYPE NUMBER(12,2)',
    ]
    assert renamed.renamed == {"fee": "cost"}
    assert plan_changes(TABLE, [TableColumn("COST", "NUMBER(12,2)", True, "")], wanted) == SchemaPlan(TABLE, ())


def test_one_refusal_stops_every_change() -> None:
    wanted = [Column(name="a", type="int8"), Column(name="b", type="string")]
    stopped = plan_changes(TABLE, [TableColumn("A", "NUMBER(19,0)", True, "")], wanted)
    assert stopped.changes == ()
    assert len(stopped.refusals) == 1


def test_the_order_of_columns_is_of_no_account() -> None:
    there = [TableColumn("B", "DATE", True, ""), TableColumn("A", "VARCHAR", True, "")]
    wanted = [Column(name="a", type="string"), Column(name="b", type="date")]
    assert plan_changes(TABLE, there, wanted) == SchemaPlan(TABLE, ())


@pytest.fixture
def table() -> TableRef:
    return raw_table("DATA_PLATFORM", f"s{uuid.uuid4().hex[:12]}", "permits")


TYPES = "string int8 int16 int32 int64 decimal(38,10) float boolean date timestamp time json binary geometry(4326)"


def test_a_table_made_from_a_contract_needs_no_change_after_that(
    connection: SnowflakeConnection, table: TableRef
) -> None:
    columns = [
        {"name": f"c{number}", "type": kind, "nullable": number % 2 == 0, "description": f"it's \\ {kind} ü"}
        for number, kind in enumerate(TYPES.split())
    ]
    contract = Contract.model_validate({"columns": columns})
    columns = (*contract.columns, *FileFeedSpec.metadata_columns, *EXTRACT_COLUMNS)
    made = plan_schema(connection, table, columns)
    apply_schema(connection, made)
    apply_schema(connection, made)
    assert plan_schema(connection, table, columns) == SchemaPlan(table, ())
    found = {column.name: column for column in read_columns(connection, table)}
    assert list(found)[-4:] == ["_DELIVERY_ID", "_RECORD_NUMBER", "_EXTRACT_ID", "_EXTRACTED_AT"]
    assert found["C5"] == TableColumn("C5", "NUMBER(38,10)", False, "it's \\ decimal(38,10) ü")


def test_a_table_follows_its_contract_from_version_to_version(connection: SnowflakeConnection, table: TableRef) -> None:
    def follow(*columns: dict[str, object]) -> list[str]:
        contract = Contract.model_validate({"columns": columns})
        wanted = plan_schema(connection, table, (*contract.columns, *EXTRACT_COLUMNS))
        apply_schema(connection, wanted)
        assert plan_schema(connection, table, (*contract.columns, *EXTRACT_COLUMNS)).changes == ()
        return [change.reason for change in wanted.changes]

    follow({"name": "id", "type": "int8", "nullable": False})
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {table.sql} SELECT 7, 'e', CURRENT_TIMESTAMP()")
    assert follow(
        {"name": "fee", "type": "decimal(10,2)"},
        {"name": "id", "type": "int64", "description": "the permit's number"},
    ) == [
        "FEE is new in the contract",
        "ID is NUMBER(3,0), now NUMBER(19,0)",
        "ID may be null now",
        "ID's description changed",
    ]
    with connection.cursor() as cursor:
        assert cursor.execute(f"SELECT ID, FEE FROM {table.sql}").fetchall() == [(7, None)]
    with pytest.raises(SchemaRefused, match=r"(?s)can't follow its contract:.*ID is NUMBER\(19,0\)"):
        follow({"name": "id", "type": "int8"})
