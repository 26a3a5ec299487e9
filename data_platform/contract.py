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
from functools import cache, cached_property, lru_cache
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, NamedTuple, Self
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

if TYPE_CHECKING:
    import pyarrow as pa

Drift = Literal["evolve", "ignore", "reject"]
TypeName = Literal[
    "string",
    "int8",
    "int16",
    "int32",
    "int64",
    "decimal",
    "float",
    "boolean",
    "date",
    "timestamp",
    "time",
    "json",
    "binary",
    "geometry",
]

_IDENTIFIER = r"^[a-z][a-z0-9_]{0,127}$"
_TYPE = re.compile(r"^(?P<name>[a-z0-9]+)(?:\((?P<args>\d+(?:,\s*\d+)?)\))?$")
# The most digits that a value of each integer type has: -128 has 3, -32768 has 5, -2147483648 has 10, -2**63 has 19.
_INTEGER_DIGITS = {"int8": 3, "int16": 5, "int32": 10, "int64": 19}
_SNOWFLAKE: dict[str, str] = {
    "string": "VARCHAR",
    "int8": "NUMBER(3,0)",
    "int16": "NUMBER(5,0)",
    "int32": "NUMBER(10,0)",
    "int64": "NUMBER(19,0)",
    "float": "FLOAT",
    "boolean": "BOOLEAN",
    "date": "DATE",
    "timestamp": "TIMESTAMP_TZ(6)",
    "time": "TIME(6)",
    "json": "VARIANT",
    "binary": "BINARY",
    "geometry": "GEOMETRY",
}
# The longest value, in bytes, that Snowflake stores in a column without a declared length; for a VARIANT, of its JSON
# text (docs.snowflake.com/en/sql-reference/data-types-text, data-types-semistructured, data-types-geospatial).
_LONGEST = {"string": 2**24, "json": 2**24, "binary": 2**23, "geometry": 2**23}
TYPES_HELP = (
    "string, int8, int16, int32, int64, decimal(p,s) with p up to 38, float, boolean, date, timestamp, time, json,"
    " binary, geometry(srid)"
)

EXTRACT_ID = "_extract_id"
EXTRACTED_AT = "_extracted_at"


class LogicalType(NamedTuple):
    """A parsed column type: its name and, for decimal (precision, scale) or geometry (srid,), its arguments."""

    name: TypeName
    args: tuple[int, ...] = ()


@cache
def _arrow() -> dict[str, pa.DataType]:
    import pyarrow as pa  # 0.14 s, which loading definitions doesn't need

    return {
        "string": pa.string(),
        "int8": pa.int8(),
        "int16": pa.int16(),
        "int32": pa.int32(),
        "int64": pa.int64(),
        "float": pa.float64(),
        "boolean": pa.bool_(),
        "date": pa.date32(),
        "timestamp": pa.timestamp("us", tz="UTC"),
        "time": pa.time64("us"),
        "json": pa.string(),
        "binary": pa.binary(),
        "geometry": pa.binary(),
    }


@lru_cache(maxsize=1024)
def parse_type(text: str) -> LogicalType:
    """Parses a column type, for example `decimal(12,3)`. Raises ValueError, which lists the types."""
    match = _TYPE.match(text.strip())
    name = match["name"] if match else ""
    args = tuple(int(arg) for arg in (match["args"] or "").split(",") if arg.strip()) if match else ()
    if name == "decimal" and len(args) == 2 and 1 <= args[0] <= 38 and 0 <= args[1] <= args[0]:
        return LogicalType("decimal", args)
    if name == "geometry" and len(args) == 1:
        return LogicalType("geometry", args)
    if name in _SNOWFLAKE and name != "geometry" and not args:
        return LogicalType(name, ())  # type: ignore[arg-type]
    raise ValueError(f"{text!r} is not a column type; expected one of: {TYPES_HELP}")


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


class Column(BaseModel):
    """One column: its name and type.

    `source_name`: the column's name in its source, if it differs. `time_zone`: the zone of timestamps without an
    offset; if it isn't set, such a value is a reject. `ambiguous`: the meaning of a wall time that occurs twice when
    clocks go back. `personal`: values are in the lake and in the table only, and shown nowhere else.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    hashed: ClassVar[tuple[str, ...]] = ("name", "type", "nullable", "source_name", "time_zone", "ambiguous")
    """The fields that a contract's hash covers. Another order would change the id of every extract."""

    name: str = Field(pattern=_IDENTIFIER)
    type: Annotated[str, AfterValidator(_checked_type)]
    nullable: bool = True
    description: str = ""
    source_name: str | None = None
    time_zone: TimeZone | None = None
    ambiguous: Literal["earliest", "latest", "reject"] = "reject"
    personal: bool = False

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
        return _arrow()[self.logical.name]

    @property
    def snowflake_type(self) -> str:
        """The column's type in Snowflake."""
        if self.logical.name == "decimal":
            return "NUMBER({},{})".format(*self.logical.args)
        return _SNOWFLAKE[self.logical.name]

    @property
    def longest(self) -> int | None:
        """The longest value that Snowflake stores in the column, in bytes; None where every value of the type fits."""
        return _LONGEST.get(self.logical.name)

    @property
    def snowflake_name(self) -> str:
        """The column's quoted identifier in Snowflake: upper case, as Snowflake stores an unquoted name."""
        return quoted(self.name)


class Contract(BaseModel):
    """The columns of a feed, its key, and its drift policy for columns that the contract doesn't name.

    `evolve` adds such a column as text, `ignore` leaves it out, `reject` refuses what has it (a file is quarantined).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    column_class: ClassVar[type[Column]] = Column

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
        added = tuple(
            self.column_class(name=name, type="string", source_name=None if name == header else header)
            for name, header in ((_as_identifier(header), header) for header in headers)
        )
        return type(self)(columns=self.columns + added, key=self.key, drift=self.drift)

    @cached_property
    def hash(self) -> str:
        """16 hex digits that change with everything in the contract but descriptions."""
        columns = [{name: column.__dict__[name] for name in self.column_class.hashed} for column in self.columns]
        shape = {"columns": columns, "key": self.key, "drift": self.drift}
        text = json.dumps(shape, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def violation_counts_sql(self, table: str, where: str | None = None) -> str:
        """SQL that counts the violations of those rows of `table` (a qualified name) that `where` admits; None: of all
        rows. Its one row has ROWS_CHECKED, NULL_<COLUMN> for each column that isn't nullable, and, if the contract has
        a key, DUPLICATE_KEYS: how many of the rows' keys more than one row of the whole table has."""
        rows = table if where is None else f"(SELECT * FROM {table} WHERE {where})"
        counts = ["COUNT(*) AS ROWS_CHECKED"]
        counts += [
            f"COUNT_IF({column.snowflake_name} IS NULL) AS NULL_{column.name.upper()}"
            for column in self.columns
            if not column.nullable
        ]
        if self.key:
            key = ", ".join(quoted(name) for name in self.key)
            # The few keys of the rows tell Snowflake which parts of the table can hold them at all.
            among = "" if where is None else f" WHERE ({key}) IN (SELECT {key} FROM {rows})"
            counts.append(
                f"(SELECT COUNT(*) FROM (SELECT {key} FROM {table}{among} GROUP BY {key}"
                " HAVING COUNT(*) > 1)) AS DUPLICATE_KEYS"
            )
        return f"SELECT {', '.join(counts)} FROM {rows}"


def platform_column(name: str, type_: str, description: str) -> Column:
    """A column that the platform adds to tables. Its name begins with `_`, which a contract's can't."""
    plain = Column(name="x", type=type_, nullable=False, description=description)
    return plain.model_copy(update={"name": name})


EXTRACT_COLUMNS = (
    platform_column(EXTRACT_ID, "string", "The extract that brought this row."),
    platform_column(EXTRACTED_AT, "timestamp", "When that extract was made."),
)
"""The last columns of every raw table."""


def _as_identifier(header: str) -> str:
    """A column name for a source column: lower case ASCII, underscores for anything else."""
    plain = unicodedata.normalize("NFKD", header).encode("ascii", "ignore").decode().lower()
    name = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")
    return f"column_{name}".rstrip("_")[:128] if not name[:1].isalpha() else name[:128]


def quoted(name: str) -> str:
    """A Snowflake identifier, upper case and quoted."""
    return '"{}"'.format(name.upper().replace('"', '""'))
