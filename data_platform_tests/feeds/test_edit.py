"""Tables of a database are renamed and removed in its YAML; everything else in the file stays as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_platform.feeds.databases import DatabaseDeclaration, SqlTableSpec
from data_platform.feeds.documents import DefinitionInvalid, Document
from data_platform.feeds.edit import Lines, lines_of_table, with_table_renamed, without_lines

TEXT = """\
# The city's register.
type: data_platform.components.SqlTables

attributes:
  description: A register.
  time_zone: UTC
  owners: ["team:records"]
  connection: city
  tables:
    # Read whole.
    - table: addresses  # the city's
      from: register.addresses
      description: Addresses.
      contract:
        key: [id]
        columns:
          - {name: id, type: int64, nullable: false}

    # Of these, what has changed.
    # Clerks are slow.
    - description: >
        Permits
        to build.
      table: permits
      contract:
        columns:
          - name: id
            type: int64

    - {table: fees, description: Fees., contract: {columns: [{name: id, type: int64}]}}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "sources/databases/city/defs.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(TEXT)
    return path


def tables(file: Path) -> dict[str, SqlTableSpec]:
    found = Document.read(file).attributes(DatabaseDeclaration)
    return {table: spec for _, read in found.feeds(file) for spec in [read()] for table in [spec.table]}


@pytest.mark.parametrize("table", ["addresses", "permits", "fees"])
def test_a_renamed_table_is_read_from_the_same_relation(file: Path, table: str) -> None:
    before = tables(file)
    file.write_text(with_table_renamed(Document.read(file), before[table], "renamed"))
    after = tables(file)
    assert after["renamed"].relation == before[table].relation
    assert after.keys() == before.keys() - {table} | {"renamed"}
    assert after["renamed"].model_dump(exclude={"table", "from_"}) == before[table].model_dump(
        exclude={"table", "from_"}
    )
    kept = [line for line in TEXT.splitlines() if table not in line]
    assert [line for line in file.read_text().splitlines() if line in kept] == kept


@pytest.mark.parametrize(
    ("table", "lines"), [("addresses", Lines(10, 18)), ("permits", Lines(19, 29)), ("fees", Lines(30, 30))]
)
def test_a_table_is_removed_with_its_comment_and_nothing_else(file: Path, table: str, lines: Lines) -> None:
    before = tables(file)
    gone = lines_of_table(Document.read(file), table)
    assert gone == lines
    file.write_text(without_lines(TEXT, gone))
    assert tables(file) == {name: spec for name, spec in before.items() if name != table}
    assert len(file.read_text().splitlines()) >= len(TEXT.splitlines()) - (lines.last - lines.first + 2)


def test_a_table_that_shares_its_line_is_left_to_a_person(file: Path) -> None:
    text = TEXT[: TEXT.index("  tables:")] + (
        "  tables: [{table: a, description: A., contract: {columns: [{name: id, type: int64}]}},"
        " {table: b, description: B., contract: {columns: [{name: id, type: int64}]}}]\n"
    )
    file.write_text(text)
    with pytest.raises(DefinitionInvalid, match="expected the table b on lines of its own; remove it by hand"):
        lines_of_table(Document.read(file), "b")
