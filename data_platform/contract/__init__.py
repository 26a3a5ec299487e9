"""A feed's contract: its columns, types and key, and the policy for columns that it doesn't name.

Everything that follows from a contract is derived here: the Arrow schema, Snowflake's types, dbt's source columns, and
the SQL of the check `contract`. Plain data, no I/O, no Dagster.

    >>> contract = Contract(columns=[{"name": "meter_id", "type": "string", "nullable": False}], key=["meter_id"])
    >>> contract.columns[0].snowflake_type
    'VARCHAR'
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from data_platform.contract.columns import (
    EXTRACT_COLUMNS,
    EXTRACT_ID,
    EXTRACTED_AT,
    HISTORY_COLUMNS,
    VALID_TO,
    Column,
    TimeZone,
    platform_column,
    quoted,
)
from data_platform.contract.types import TYPES_HELP, LogicalType, TypeName, parse_type

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "EXTRACTED_AT",
    "EXTRACT_COLUMNS",
    "EXTRACT_ID",
    "HISTORY_COLUMNS",
    "TYPES_HELP",
    "VALID_TO",
    "Column",
    "Contract",
    "Drift",
    "LogicalType",
    "TimeZone",
    "TypeName",
    "column_name",
    "parse_type",
    "platform_column",
    "quoted",
]

_LONGEST_NAME = 110  # a column's name has at most 128 characters

Drift = Literal["evolve", "ignore", "reject"]


class Contract(BaseModel):
    """The columns of a feed, its key, and its drift policy for columns that the contract doesn't name.

    `evolve` adds such a column as text, `ignore` leaves it out, `reject` refuses what has it (a file is quarantined).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    column_class: ClassVar[type[Column]] = Column
    hashed_if_set: ClassVar[tuple[str, ...]] = ()

    columns: tuple[Column, ...] = Field(min_length=1)
    key: tuple[str, ...] = ()
    drift: Drift = "reject"

    @model_validator(mode="after")
    def _names_agree(self) -> Contract:
        names = [column.name for column in self.columns]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"column named twice: {', '.join(twice)}")
        headers = [column.header for column in self.columns]
        twice = sorted({header for header in headers if headers.count(header) > 1})
        if twice:
            raise ValueError(f"two columns read from the same source column: {', '.join(twice)}")
        before = [old for column in self.columns for old in column.renamed_from]
        if wrong := sorted({old for old in before if old in names or before.count(old) > 1}):
            raise ValueError(
                f"renamed_from {', '.join(wrong)}: a former name may be neither a column's now, nor two columns'"
            )
        for name in self.key:
            if name not in names:
                raise ValueError(f"key column {name!r} is not one of the columns: {', '.join(names)}")
            if self.column(name).nullable:
                raise ValueError(f"key column {name!r} must have `nullable: false`")
        return self

    def column(self, name: str) -> Column:
        """The column of that name. Raises KeyError."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    @cached_property
    def personal(self) -> frozenset[str]:
        """The names of the columns with personal data."""
        return frozenset(column.name for column in self.columns if column.personal)

    @property
    def arrow_schema(self) -> pa.Schema:
        """The schema of the feed's own columns, in order."""
        import pyarrow as pa

        return pa.schema(pa.field(column.name, column.arrow_type, column.nullable) for column in self.columns)

    def evolved(self, headers: tuple[str, ...]) -> Self:
        """This contract with a nullable text column added for each of these source columns (drift policy `evolve`);
        `Pump Type` becomes pump_type. Raises ValueError if two names become the same."""
        taken = {column.name: column.header for column in self.columns}
        added = []
        for header in headers:
            name = column_name(header)
            if name in taken:
                raise ValueError(f"{taken[name]!r} and {header!r} would both be the column {name}")
            taken[name] = header
            added.append(self.column_class(name=name, type="string", source_name=None if name == header else header))
        return self.with_columns(added)

    def with_columns(self, added: Iterable[Column]) -> Self:
        """This contract with further columns."""
        # Not dict(self): that has the cached `hash` too, which is no field.
        declared = {name: getattr(self, name) for name in type(self).model_fields}
        return type(self).model_validate({**declared, "columns": (*self.columns, *added)})

    @cached_property
    def hash(self) -> str:
        """16 hex digits that change with everything in the contract but descriptions."""
        columns = [
            {name: column.__dict__[name] for name in self.column_class.hashed} | _set_fields(column)
            for column in self.columns
        ]
        shape = {"columns": columns, "key": self.key, "drift": self.drift} | _set_fields(self)
        text = json.dumps(shape, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def violation_counts_sql(self, table: str, where: str | None = None) -> str:
        """SQL that counts the violations of those rows of `table` (a name, or a query) that `where` admits; None: of
        all rows. Its one row has ROWS_CHECKED, NULL_<COLUMN> for each column that isn't nullable, and, if the contract
        has a key, DUPLICATE_KEYS: how many of the rows' keys more than one row of the whole table has."""
        rows = _rows(table, where)
        counts = ["COUNT(*) AS ROWS_CHECKED"]
        counts += [
            f"COUNT_IF({column.snowflake_name} IS NULL) AS NULL_{column.name.upper()}"
            for column in self.columns
            if not column.nullable
        ]
        if self.key:
            key = ", ".join(quoted(name) for name in self.key)
            counts.append(f"(SELECT COUNT(*) FROM (SELECT {key} {self._duplicates(table, where)})) AS DUPLICATE_KEYS")
        return f"SELECT {', '.join(counts)} FROM {rows}"

    @property
    def identifying(self) -> tuple[str, ...]:
        """The columns that `violations_sql` identifies rows by: the key; without one, the extract."""
        return self.key or (EXTRACT_ID,)

    def violations_sql(self, table: str, where: str | None, limit: int) -> str:
        """SQL of up to `limit` violations that `violation_counts_sql` counts: the `identifying` columns of each, and
        what is wrong. Personal columns are masked."""
        mask = "'(personal)'"
        shown = ", ".join(mask if name in self.personal else f"{quoted(name)}::VARCHAR" for name in self.identifying)
        found = [
            f"SELECT {shown}, '{column.name} is null' FROM {_rows(table, where)} WHERE {column.snowflake_name} IS NULL"
            for column in self.columns
            if not column.nullable
        ]
        if self.key:
            found.append(f"SELECT {shown}, COUNT(*) || ' rows have this key' {self._duplicates(table, where)}")
        return f"{' UNION ALL '.join(found)} LIMIT {limit}"

    def _duplicates(self, table: str, where: str | None) -> str:
        """The end of a SELECT of the keys that `where` admits and that several rows of the whole table have."""
        key = ", ".join(quoted(name) for name in self.key)
        # The few keys of the rows tell Snowflake which parts of the table can hold them at all.
        among = "" if where is None else f" WHERE ({key}) IN (SELECT {key} FROM {_rows(table, where)})"
        return f"FROM {table}{among} GROUP BY {key} HAVING COUNT(*) > 1"


def _rows(table: str, where: str | None) -> str:
    return table if where is None else f"(SELECT * FROM {table} WHERE {where})"


def _set_fields(model: Column | Contract) -> dict[str, object]:
    fields = type(model).model_fields
    return {name: model.__dict__[name] for name in model.hashed_if_set if model.__dict__[name] != fields[name].default}


def column_name(header: str) -> str:
    """A column name for a source column: lower case ASCII, underscores for anything else. It follows from the header
    alone, so that a column has the same name whatever comes beside it. Where too little of the header is left to tell
    it from others (letters of another script, or a very long one), its hash does."""
    decomposed = unicodedata.normalize("NFKD", header)
    name = re.sub(r"[^a-z0-9]+", "_", decomposed.encode("ascii", "ignore").decode().lower()).strip("_")
    other_script = any(letter.isalnum() and not _is_latin(letter) for letter in decomposed)
    if not name or other_script or len(name) > _LONGEST_NAME:
        name = f"{name[:_LONGEST_NAME]}_{hashlib.sha256(header.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
    return name if name[:1].isalpha() else f"column_{name.strip('_')}"


def _is_latin(letter: str) -> bool:
    return letter.isascii() or unicodedata.name(letter, "").startswith("LATIN")
