"""One column of a contract, and the columns that the platform adds to every table."""

from __future__ import annotations

from functools import cache, cached_property
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from data_platform.contract.types import LONGEST, SNOWFLAKE_TYPES, LogicalType, arrow_types, parse_type

if TYPE_CHECKING:
    import pyarrow as pa

_IDENTIFIER = r"^[a-z][a-z0-9_]{0,127}$"
EXTRACT_ID = "_extract_id"
EXTRACTED_AT = "_extracted_at"
VALID_FROM = "_valid_from"
VALID_TO = "_valid_to"
FIRST_SEEN = "_first_seen"
LAST_SEEN = "_last_seen"
DELETED = "_deleted"


def _checked_type(text: str) -> str:
    parse_type(text)
    return text


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())  # reads some 600 files each time


def _checked_zone(text: str) -> str:
    if text not in _zones():
        raise ValueError(f"{text!r} is not an IANA time zone; expected a name such as Europe/Paris")
    return text


TimeZone = Annotated[str, AfterValidator(_checked_zone)]
_Names = Annotated[
    tuple[Annotated[str, Field(pattern=_IDENTIFIER, examples=["permit_id"])], ...],
    BeforeValidator(lambda given: (given,) if isinstance(given, str) else given),
]


class Column(BaseModel):
    """One column: its name and type.

    `source_name`: the column's name in its source, if it differs. `time_zone`: the zone of timestamps without an
    offset; if it isn't set, such a value is a reject. `ambiguous`: the meaning of a wall time that occurs twice when
    clocks go back. `personal`: values are in the lake and in the table only, and shown nowhere else. `renamed_from`:
    the name, or names, that the column had in this contract before: its values in the table and in older extracts stay.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    hashed: ClassVar[tuple[str, ...]] = ("name", "type", "nullable", "source_name", "time_zone", "ambiguous")
    """The fields that a contract's hash covers. Another order would change the id of every extract."""
    hashed_if_set: ClassVar[tuple[str, ...]] = ()
    """Fields that the hash covers where they differ from their default: later ones, so that no old hash changed."""

    name: str = Field(pattern=_IDENTIFIER, examples=["permit_id"])
    type: Annotated[str, AfterValidator(_checked_type)]
    nullable: bool = True
    description: str = ""
    source_name: str | None = None
    time_zone: TimeZone | None = None
    ambiguous: Literal["earliest", "latest", "reject"] = "reject"
    personal: bool = False
    renamed_from: _Names = ()

    @model_validator(mode="after")
    def _zone_has_an_effect(self) -> Self:
        if self.time_zone is not None and self.logical.name != "timestamp":
            raise ValueError(f"column {self.name}: time_zone has no effect on a {self.type}; it is for timestamp")
        if self.ambiguous != "reject" and self.time_zone is None:
            raise ValueError(f"column {self.name}: ambiguous has no effect without a time_zone")
        return self

    @cached_property
    def logical(self) -> LogicalType:
        """The parsed type."""
        return parse_type(self.type)

    @property
    def header(self) -> str:
        """The column's name in its source."""
        return self.source_name or self.name

    @property
    def arrow_type(self) -> pa.DataType:
        """The column's type in Parquet. JSON is text; geometry is WKB."""
        if self.logical.name == "decimal":
            import pyarrow as pa

            return pa.decimal128(*self.logical.args)
        return arrow_types()[self.logical.name]

    @property
    def snowflake_type(self) -> str:
        """The column's type in Snowflake."""
        if self.logical.name == "decimal":
            return "NUMBER({},{})".format(*self.logical.args)
        return SNOWFLAKE_TYPES[self.logical.name]

    @property
    def longest(self) -> int | None:
        """The longest value that Snowflake stores in the column, in bytes; None where every value of the type fits."""
        return LONGEST.get(self.logical.name)

    @property
    def snowflake_name(self) -> str:
        """The column's quoted identifier in Snowflake: upper case, as Snowflake stores an unquoted name."""
        return quoted(self.name)


def platform_column(name: str, type_: str, description: str, *, nullable: bool = False) -> Column:
    """A column that the platform adds to tables. Its name begins with `_`, which a contract's can't."""
    plain = Column(name="x", type=type_, nullable=nullable, description=description)
    return plain.model_copy(update={"name": name})


EXTRACT_COLUMNS = (
    platform_column(EXTRACT_ID, "string", "The extract that brought this row."),
    platform_column(EXTRACTED_AT, "timestamp", "When that extract was made."),
)
"""The last columns of every raw table; with load mode `history`, HISTORY_COLUMNS follow."""

# They may be null, as they stay in the table when the feed gets another load mode.
HISTORY_COLUMNS = (
    platform_column(
        VALID_FROM, "timestamp", "The time of the first snapshot that shows this version of the row.", nullable=True
    ),
    platform_column(
        VALID_TO,
        "timestamp",
        "The time of the snapshot that ended this version: it shows other values, or no row with this key. Null: this"
        " is the current version.",
        nullable=True,
    ),
    platform_column(
        FIRST_SEEN, "timestamp", "The time of the first snapshot that shows a row with this key.", nullable=True
    ),
    platform_column(
        LAST_SEEN,
        "timestamp",
        "The time of the last snapshot that shows this version. Null: the feed's latest one does.",
        nullable=True,
    ),
    platform_column(
        DELETED, "boolean", "Whether this version ended because the row was no longer there.", nullable=True
    ),
)
"""The columns of a table with load mode `history`, whose rows are versions of its feed's rows."""


def quoted(name: str) -> str:
    """A Snowflake identifier, upper case and quoted."""
    return '"{}"'.format(name.upper().replace('"', '""'))
