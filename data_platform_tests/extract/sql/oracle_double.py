"""A double of `oracledb`'s connections, for tests: no Oracle runs here.

Written from the driver's documentation (connect's arguments, `fetch_df_batches` with its table "Supported Explicit Type
Mapping") and the SQL reference. SQLite executes the queries, on functions of Oracle's names, so that syntax and what is
selected are really executed; moments are nanoseconds since 1970. It refuses what the driver refuses: an Arrow type that
it doesn't make of a database type, a value that doesn't fit the type, and a type that data frames don't have.
"""

from __future__ import annotations

import re
import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import oracledb
import pyarrow as pa

_EPOCH = datetime(1970, 1, 1)
_NUMBERS = (pa.types.is_decimal128, pa.types.is_integer, pa.types.is_floating)
_TEXTS = (pa.types.is_string, pa.types.is_large_string)
_BYTES = (pa.types.is_binary, pa.types.is_large_binary)
_MOMENTS = (pa.types.is_date, lambda type_: pa.types.is_timestamp(type_) and type_.tz is None)
MAKES: dict[str, tuple[Any, ...]] = {
    "NUMBER": _NUMBERS,
    **dict.fromkeys(("BLOB", "LONG RAW", "RAW"), _BYTES),
    "BOOLEAN": (pa.types.is_boolean,),
    **dict.fromkeys(("DATE", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE", "TIMESTAMP WITH LOCAL TIME ZONE"), _MOMENTS),
    **dict.fromkeys(("BINARY_DOUBLE", "BINARY_FLOAT"), (pa.types.is_floating,)),
    **dict.fromkeys(("CHAR", "CLOB", "LONG", "NCHAR", "NCLOB", "NVARCHAR2", "VARCHAR2"), _TEXTS),
}
"""What the driver's data frames hold of each type, as requested."""
_MADE = {
    "TO_CHAR": "VARCHAR2",
    "RAWTOHEX": "VARCHAR2",
    "ROWIDTOCHAR": "VARCHAR2",
    "SYS_EXTRACT_UTC": "TIMESTAMP",
    "XMLSERIALIZE": "CLOB",
    "JSON_SERIALIZE": "CLOB",
    "CASE": "BLOB",
}
_SYNTAX = (
    (r"\bDBMS_FLASHBACK\.GET_SYSTEM_CHANGE_NUMBER\b", "4711"),
    (r"SDO_UTIL\.TO_WKBGEOMETRY", "SDO_WKB"),
    (r"sde\.(st_\w+)", r"\1"),
    (r"UTL_RAW\.CAST_TO_RAW", "CAST_TO_RAW"),
    (r'(t\."[^"]+")\.SDO_SRID', r"SDO_SRID(\1)"),
    (r" RETURNING CLOB\)", ")"),
    (r"XMLSERIALIZE\(CONTENT (.*?) AS CLOB\)", r"XMLSERIALIZE(\1)"),
    (r" AS OF SCN \d+ ", " "),
    (r"\brownum = 1\b", "1 = 1"),
)


@dataclass
class OracleTable:
    """`columns`: {name in the catalog: (data type, precision, scale)}. `rows`: Python values, a shape as (SRID,
    WKB)."""

    columns: dict[str, tuple[str, int | None, int | None]]
    rows: list[tuple[Any, ...]] = field(default_factory=list)
    not_null: tuple[str, ...] = ()
    key: tuple[str, ...] = ()
    comment: str | None = None


@dataclass
class OracleDouble:
    """A database of one schema. `statements`: what was executed. `fails`: raised by the next calls of connect."""

    tables: dict[str, OracleTable]
    schema: str = "CITY"
    statements: list[str] = field(default_factory=list)
    connected: list[dict[str, Any]] = field(default_factory=list)
    fails: list[BaseException] = field(default_factory=list)
    breaks_off_after: int | None = None

    url = "oracle://reader:planted@127.0.0.1:1521/records"

    def connect(self, **arguments: Any) -> Connection:
        """oracledb.connect."""
        self.connected.append(arguments)
        if re.search(r"[()=\[\]^`{|}~\s]|[^ -~]", arguments["program"]):
            raise error("DPY-3029", '"program" includes characters that are not allowed')
        if self.fails:
            raise self.fails.pop(0)
        return Connection(self)


def error(code: str, said: str) -> oracledb.DatabaseError:
    """An error as the driver raises it."""
    return oracledb.DatabaseError(Said(code, f"{code}: {said}"))


@dataclass
class Said:
    full_code: str
    message: str

    def __str__(self) -> str:
        return self.message


class Connection:
    def __init__(self, database: OracleDouble) -> None:
        self._database = database
        self._lite = sqlite3.connect(":memory:", check_same_thread=False)
        for name, arguments, function in _functions(database):
            self._lite.create_function(name, arguments, function)
        self._lite.execute("CREATE TABLE dual (dummy)")
        self._lite.execute("INSERT INTO dual VALUES ('X')")
        self._lite.execute(f"ATTACH ':memory:' AS \"{database.schema}\"")
        self._fill_catalog()
        for name, table in database.tables.items():
            names = ", ".join(f'"{column}"' for column in table.columns)
            self._lite.execute(f'CREATE TABLE "{database.schema}"."{name}" ({names})')
            marks = ", ".join("?" * len(table.columns))
            rows = [tuple(map(_stored, row)) for row in table.rows]
            self._lite.executemany(f'INSERT INTO "{database.schema}"."{name}" VALUES ({marks})', rows)

    def cursor(self) -> Cursor:
        return Cursor(self)

    def close(self) -> None:
        self._lite.close()

    def run(self, statement: str) -> list[tuple[Any, ...]]:
        self._database.statements.append(statement)
        if statement.startswith(("ALTER SESSION SET ", "SET TRANSACTION READ ONLY")):
            return []
        for pattern, instead in _SYNTAX:
            statement = re.sub(pattern, instead, statement)
        try:
            return self._lite.execute(statement).fetchall()
        except sqlite3.OperationalError as failed:
            raise error("ORA-00900", f"{failed} in {statement}") from None

    def fetch_df_batches(
        self, statement: str, parameters: Any = None, size: int | None = None, *, requested_schema: pa.Schema
    ) -> Iterator[pa.Table]:
        types = [self._type(expression) for expression in _selected(statement)]
        if len(types) != len(requested_schema):
            raise error("DPY-2069", "requested schema has another number of columns than the query")
        for type_, wanted in zip(types, requested_schema, strict=True):
            if not any(is_type(wanted.type) for is_type in MAKES.get(type_, ())):
                raise error("DPY-3031", f"{type_} can't be fetched as {wanted.type}")
        rows, given = self.run(statement), 0
        batches = range(0, len(rows), size or 100) if rows else [0]
        for begin in batches:
            if self._database.breaks_off_after is not None and given >= self._database.breaks_off_after:
                raise error("DPY-4011", "the database or network closed the connection")
            some = rows[begin : begin + (size or 100)]
            given += len(some)
            columns = list(zip(*some, strict=True)) if some else [()] * len(types)
            arrays = [
                _array(values, type_, wanted.type)
                for values, type_, wanted in zip(columns, types, requested_schema, strict=True)
            ]
            yield pa.table(arrays, schema=requested_schema)

    def _type(self, expression: str) -> str:
        function = re.match(r"\w+(?=[ (])", expression)
        if function:
            return _MADE[function[0]]
        (column,) = re.findall(r't\."([^"]+)"', expression)
        (found,) = {table.columns[column][0] for table in self._database.tables.values() if column in table.columns}
        kind = re.sub(r"\(\d+\)", "", found)
        return "NUMBER" if kind == "FLOAT" else kind

    def _fill_catalog(self) -> None:
        owner, run = self._database.schema, self._lite.execute
        run("CREATE TABLE all_tab_comments (owner, table_name, comments)")
        run("CREATE TABLE all_col_comments (owner, table_name, column_name, comments)")
        run(
            "CREATE TABLE all_tab_columns (owner, table_name, column_name, data_type, nullable, data_precision,"
            " data_scale, column_id)"
        )
        run("CREATE TABLE all_constraints (owner, table_name, constraint_name, constraint_type, status)")
        run("CREATE TABLE all_cons_columns (owner, table_name, constraint_name, column_name, position)")
        run("CREATE TABLE product_component_version AS SELECT '23.0' AS version, 'READER' AS user")
        for name, table in self._database.tables.items():
            run("INSERT INTO all_tab_comments VALUES (?, ?, ?)", [owner, name, table.comment])
            for number, (column, (type_, precision, scale)) in enumerate(table.columns.items()):
                nullable = "N" if column in table.not_null else "Y"
                values = [owner, name, column, type_, nullable, precision, scale, number]
                run("INSERT INTO all_tab_columns VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)
                run("INSERT INTO all_col_comments VALUES (?, ?, ?, ?)", [owner, name, column, f"About {column}"])
            if table.key:
                run("INSERT INTO all_constraints VALUES (?, ?, 'PK', 'P', 'ENABLED')", [owner, name])
            for number, column in enumerate(table.key):
                run("INSERT INTO all_cons_columns VALUES (?, ?, 'PK', ?, ?)", [owner, name, column, number])


class Cursor:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._rows: list[tuple[Any, ...]] = []

    def __enter__(self) -> Cursor:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def execute(self, statement: str) -> None:
        self._rows = self._connection.run(statement)

    def fetchall(self) -> list[tuple[Any, ...]]:
        return self._rows


def _selected(statement: str) -> list[str]:
    """The expressions of a SELECT."""
    found, depth, begin = [], 0, len("SELECT ")
    for at in range(begin, len(statement)):
        depth += {"(": 1, ")": -1}.get(statement[at], 0)
        if depth == 0 and (statement.startswith(", ", at) or statement.startswith(" FROM ", at)):
            found.append(statement[begin:at])
            begin = at + 2
            if statement.startswith(" FROM ", at):
                return found
    raise AssertionError(statement)


def _array(values: Sequence[Any], type_: str, wanted: pa.DataType) -> pa.Array:
    try:
        if pa.types.is_decimal(wanted):
            return pa.array([None if value is None else Decimal(str(value)) for value in values], wanted)
        if pa.types.is_timestamp(wanted):
            per = {"s": 10**9, "ms": 10**6, "us": 1000, "ns": 1}[wanted.unit]
            return pa.array([None if value is None else value // per for value in values], pa.int64()).cast(wanted)
        if pa.types.is_boolean(wanted):
            return pa.array([None if value is None else bool(value) for value in values], wanted)
        return pa.array(values, wanted)
    except pa.ArrowInvalid as failed:
        raise error("DPY-4038", f"a value of {type_} can't be held as {wanted}: {failed}") from None


def _stored(value: Any) -> Any:
    if isinstance(value, datetime):
        naive = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
        return (naive - _EPOCH) // timedelta(microseconds=1) * 1000
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() and abs(value) < 2**63 else format(value, "f")
    return f"{value[0]}:{value[1].hex()}" if isinstance(value, tuple) else value


def _functions(database: OracleDouble) -> Iterator[tuple[str, int, Any]]:
    def unless_null(function: Any) -> Any:
        return lambda first, *others: None if first is None else function(first, *others)

    def moment(text: str, form: str) -> int:
        whole, _, fraction = text.partition(".")
        seconds = (datetime.strptime(whole, "%Y-%m-%d %H:%M:%S") - _EPOCH) // timedelta(seconds=1)
        return seconds * 10**9 + int((fraction or "0").ljust(9, "0"))

    def char(value: Any, form: str) -> str:
        if form == "TM9":  # without a zero before the point
            return re.sub(r"^(-?)0\.", r"\1.", format(Decimal(str(value)).normalize(), "f"))
        assert re.fullmatch(r"YYYY-MM-DD HH24:MI:SS(\.FF9)?", form), form
        text = (_EPOCH + timedelta(seconds=value // 10**9)).strftime("%Y-%m-%d %H:%M:%S").rjust(19, "0")
        return text + (f".{value % 10**9:09d}" if form.endswith("FF9") else "")

    yield "SYS_CONTEXT", 2, lambda space, name: database.schema
    yield "SYS_EXTRACT_UTC", 1, lambda value: value
    yield "TO_CHAR", 1, unless_null(str)
    yield "TO_CHAR", 2, unless_null(char)
    yield "TO_DATE", 2, moment
    yield "TO_TIMESTAMP", 2, moment
    yield "TO_NUMBER", 1, int
    yield "FROM_TZ", 2, lambda value, zone: value
    yield "NUMTODSINTERVAL", 2, lambda number, unit: number * {"MINUTE": 60}[unit] * 10**9
    yield "NVL", 2, lambda value, other: other if value is None else value
    yield "CHR", 1, chr
    yield "ORA_HASH", 1, lambda value: zlib.crc32(str(value).encode())
    yield "ORA_HASH", 2, lambda value, most: zlib.crc32(str(value).encode()) % (most + 1)
    yield "RAWTOHEX", 1, unless_null(lambda value: value.hex().upper())
    yield "ROWIDTOCHAR", 1, lambda value: value
    yield "JSON_SERIALIZE", 1, lambda value: value
    yield "XMLSERIALIZE", 1, lambda value: value
    yield "CAST_TO_RAW", 1, lambda value: value.encode()
    yield "TO_BLOB", 1, lambda value: value
    for shape, srid in (("SDO_WKB", "SDO_SRID"), ("st_asbinary", "st_srid")):
        yield shape, 1, unless_null(lambda value: bytes.fromhex(value.partition(":")[2]))
        yield srid, 1, unless_null(lambda value: int(value.partition(":")[0]))


def installed(database: OracleDouble, monkeypatch: Any) -> OracleDouble:
    """The database, in the place of the driver's."""
    from data_platform.extract.sql.oracle import session

    monkeypatch.setattr(session, "oracledb", SimpleNamespace(connect=database.connect, Error=oracledb.Error))
    return database
