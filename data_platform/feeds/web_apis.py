"""Tables of an Airtable base and objects of a Knack application, as feeds. What reads them is in `extract/web/`; the
service's address and key are a setting."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Self, TypeAlias

from pydantic import ConfigDict, Field, model_validator

from data_platform.environment.connections import AIRTABLE, KNACK, System
from data_platform.feeds.file_contract import FileContract
from data_platform.feeds.spec import WHOLE, FeedDeclaration, LoadMode, RejectLimit
from data_platform.feeds.tables import TableName, TablesDeclaration, TableSpec

BaseId = Annotated[str, Field(pattern=r"^app[A-Za-z0-9]{14,}$", examples=["appLkNDICXNqxSDhG"])]
WebTableSpec: TypeAlias = "AirtableTableSpec | KnackObjectSpec"


class WebTableDeclaration(FeedDeclaration):
    """A table of a web API, read whole each time. A column's `source_name` is the id of its field, so that a renamed
    label changes nothing, or `id`, the record's own."""

    model_config = ConfigDict(populate_by_name=True)
    field_pattern: ClassVar[str]
    field_example: ClassVar[str]
    record_fields: ClassVar[tuple[str, ...]] = ("id",)
    """What a record has besides its fields: a column may have one of these as its `source_name`."""

    table: TableName
    contract: FileContract
    load_mode: LoadMode = "replace"
    reject_limit: RejectLimit | None = None

    @model_validator(mode="after")
    def _can_be_read(self) -> Self:
        if self.load_mode not in WHOLE:
            raise ValueError(
                f"load_mode {self.load_mode}: expected {' or '.join(WHOLE)}, as the whole table is read each time"
            )
        if self.partition is not None:
            raise ValueError("a table of a web API has no partition; leave it out")
        if self.contract.drift == "evolve":
            raise ValueError("drift evolve would name columns by the ids of their fields; expected reject or ignore")
        if self.contract.sparse:
            raise ValueError("sparse is for files; leave it out: a field that a record doesn't have is null anyway")
        return self

    @model_validator(mode="after")
    def _columns_are_fields(self) -> Self:
        for column in self.contract.columns:
            if column.header not in self.record_fields and not re.fullmatch(self.field_pattern, column.header):
                raise ValueError(
                    f"column {column.name}: source_name must be the id of its field, for example {self.field_example},"
                    f" or one of the record's own, {', '.join(self.record_fields)}; found {column.header!r}"
                )
        return self

    def too_many_rejects(self, rejected: int, read: int) -> str | None:
        """Why a read with so many rejects isn't kept, or None."""
        if rejected == read > 0:
            return f"all {read} records break the contract"
        return None if self.reject_limit is None else self.reject_limit.exceeded(rejected, read)


class WebDeclaration(TablesDeclaration):
    """What the `defs.yaml` of every web API states."""


class AirtableTableDeclaration(WebTableDeclaration):
    """One table of a base. `from`: its id."""

    field_pattern: ClassVar[str] = r"fld[A-Za-z0-9]{14}"
    field_example: ClassVar[str] = "fld1VnoyuotSTyxW1"
    record_fields: ClassVar[tuple[str, ...]] = ("id", "createdTime")

    from_: Annotated[str, Field(alias="from", pattern=r"^tbl[A-Za-z0-9]{14,}$", examples=["tbl5pVLrp2rfNcWDP"])]


class AirtableTableSpec(AirtableTableDeclaration, TableSpec):
    """One table (`tbl...`) of one base (`app...`)."""

    kind: ClassVar[str] = "airtable"
    part_of: ClassVar[str] = "an Airtable base"
    system: ClassVar[System] = AIRTABLE

    description: str = ""
    base: BaseId


class AirtableDeclaration(WebDeclaration):
    """The attributes of an AirtableTables' `defs.yaml`. `base`: the base's id."""

    spec: ClassVar[type[TableSpec]] = AirtableTableSpec
    shared: ClassVar[tuple[str, ...]] = ("connection", "base")

    base: BaseId
    tables: tuple[AirtableTableDeclaration, ...]


class KnackObjectDeclaration(WebTableDeclaration):
    """One object of an application. `from`: its key."""

    field_pattern: ClassVar[str] = r"field_[0-9]+"
    field_example: ClassVar[str] = "field_12"

    from_: Annotated[str, Field(alias="from", pattern=r"^object_[0-9]+$", examples=["object_12"])]

    @model_validator(mode="after")
    def _times_have_a_zone(self) -> Self:
        for column in self.contract.columns:
            if column.logical.name == "timestamp" and column.time_zone is None:
                raise ValueError(
                    f"column {column.name} needs a time_zone: Knack's times are those of the application's clock,"
                    " without their zone; for example time_zone: America/New_York"
                )
        return self


class KnackObjectSpec(KnackObjectDeclaration, TableSpec):
    """One object of one application."""

    kind: ClassVar[str] = "knack"
    part_of: ClassVar[str] = "a Knack application"
    system: ClassVar[System] = KNACK

    description: str = ""


class KnackDeclaration(WebDeclaration):
    """The attributes of a KnackObjects' `defs.yaml`."""

    spec: ClassVar[type[TableSpec]] = KnackObjectSpec

    tables: tuple[KnackObjectDeclaration, ...]
