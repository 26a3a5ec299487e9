"""Tables of a database, as its `defs.yaml` declares them: the folder's name is the source's. What reads them is in
`extract/sql/`; the database's address is a setting."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from data_platform.environment.connections import DATABASE, System
from data_platform.feeds.spec import (
    WHOLE,
    Declared,
    FeedDeclaration,
    LoadMode,
    RejectLimit,
)
from data_platform.feeds.table_contract import TableContract
from data_platform.feeds.tables import TableName, TablesDeclaration, TableSpec

_RELATION = r'^[^."]+(\.[^."]+)?$'
_ORDERED = ("timestamp", "date", "int16", "int32", "int64")
"""The types of a watermark."""


class Watermark(Declared):
    """A column that grows with each change of a row, by which a table is read from where the last read ended.

    `overlap_minutes`: each read begins that much before the end of the last one, for rows that were committed late. A
    row that is read again is merged again, with the same result.
    """

    column: str
    overlap_minutes: int = Field(0, ge=0)


class TableDeclaration(FeedDeclaration):
    """One table of a database. `from`: the table or view in the database, with its schema; default: `table`, in the
    system's default schema (PostgreSQL's is public). Load modes `replace` and `history` read all of it each time,
    `merge` what is new by the `watermark`.
    `deletions: keys`, with `merge`: each run compares the table's keys, and deletes rows whose key is gone.
    `parts`: in how many parts a whole table is read, two at a time, all of one state of the database; default: one for
    each 512 MiB of it. `reject_limit`: none unless it is set, but a whole table that is all rejects is never loaded."""

    model_config = ConfigDict(populate_by_name=True)

    table: TableName
    contract: TableContract
    from_: Annotated[str | None, Field(alias="from", pattern=_RELATION, examples=["permits", "register.permits"])] = (
        None
    )
    load_mode: LoadMode = "replace"
    watermark: Watermark | None = None
    deletions: Literal["keys"] | None = None
    parts: int | None = Field(None, ge=1, le=64)
    reject_limit: RejectLimit | None = None

    @model_validator(mode="after")
    def _can_be_read(self) -> Self:
        if self.load_mode == "append":
            raise ValueError(
                "load_mode append would load a row again each time that it is read; expected replace (the whole table"
                " each time), history (each version of a row), or merge with a watermark"
            )
        if self.partition is not None:
            raise ValueError("a table of a database has no partition; leave it out")
        if self.load_mode in WHOLE and self.watermark is not None:
            raise ValueError(
                f"load_mode {self.load_mode} reads the whole table and takes no watermark; leave it out, or set"
                " load_mode: merge"
            )
        if self.load_mode in WHOLE and self.deletions is not None:
            raise ValueError(f"load_mode {self.load_mode} sees deletions anyway; leave `deletions` out")
        if self.load_mode == "merge":
            self._check_watermark()
        return self

    def _check_watermark(self) -> None:
        if self.watermark is None:
            raise ValueError(
                "load_mode merge needs a watermark: the column that grows with each change of a row, for example"
                " watermark: {column: updated_at, overlap_minutes: 15}; or set load_mode: replace"
            )
        name = self.watermark.column
        column = next((column for column in self.contract.columns if column.name == name), None)
        if column is None:
            raise ValueError(f"watermark.column {name!r} is not one of the contract's columns")
        if column.logical.name not in _ORDERED:
            raise ValueError(f"watermark.column {name} is a {column.type}; expected one of {', '.join(_ORDERED)}")
        if column.nullable:
            raise ValueError(
                f"watermark.column {name} must have `nullable: false`: when a row without it changes, nothing shows it"
            )
        if self.watermark.overlap_minutes and column.logical.name not in ("timestamp", "date"):
            raise ValueError(f"watermark.overlap_minutes needs a timestamp or date, and {name} is an {column.type}")

    def too_many_rejects(self, rejected: int, read: int) -> str | None:
        """Why a read with so many rejects isn't kept, or None."""
        if self.load_mode in WHOLE and rejected == read > 0:
            return f"all {read} rows break the contract"
        return None if self.reject_limit is None else self.reject_limit.exceeded(rejected, read)


class SqlTableSpec(TableDeclaration, TableSpec):
    """One table of one database."""

    kind: ClassVar[str] = "sql"
    has_catalog: ClassVar[bool] = True
    part_of: ClassVar[str] = "a database"
    system: ClassVar[System] = DATABASE

    description: str = ""

    @property
    def relation(self) -> tuple[str | None, str]:
        """(schema, name) of the table in the database; None: the schema that the system takes if none is named."""
        schema, _, name = (self.from_ or self.table).rpartition(".")
        return schema or None, name

    @property
    def order_column(self) -> str | None:
        """The watermark: of two rows with the same key, the one that changed last counts."""
        return self.watermark.column if self.watermark else None


class DatabaseDeclaration(TablesDeclaration):
    """The attributes of a SqlTables' `defs.yaml`."""

    spec: ClassVar[type[TableSpec]] = SqlTableSpec

    tables: tuple[TableDeclaration, ...]
