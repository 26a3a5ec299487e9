"""The contract of a database's table: its columns, and what becomes of values that aren't finite."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from data_platform.contract import Column, Contract

_HAVE_SPECIAL_VALUES = ("int8", "int16", "int32", "int64", "decimal", "float", "date", "timestamp")


class TableColumn(Column):
    """A column of a database's table.

    `special_values`: what NaN, infinity and -infinity become. `reject` makes the row a reject, except that a float
    holds them; `null` reads them as null.
    """

    hashed_if_set: ClassVar[tuple[str, ...]] = ("special_values",)

    special_values: Literal["reject", "null"] = "reject"

    @model_validator(mode="after")
    def _special_values_are_there(self) -> Self:
        if self.special_values != "reject" and self.logical.name not in _HAVE_SPECIAL_VALUES:
            raise ValueError(
                f"column {self.name}: special_values has no effect on a {self.type}; it is for numbers, dates and"
                " timestamps"
            )
        return self


class TableContract(Contract):
    """The contract of a database's table."""

    column_class: ClassVar[type[Column]] = TableColumn

    columns: tuple[TableColumn, ...] = Field(min_length=1)
