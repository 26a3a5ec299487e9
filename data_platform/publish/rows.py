"""Reads a mart from Snowflake into a file on this machine, in the key's order, with the fingerprint of its content.

Rows pass through in batches, so memory doesn't grow with the table. The file lets a target read them as often as it
needs, when a request has to be repeated.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from data_platform.contract import quoted
from data_platform.publish import shapes
from data_platform.publish.spec import OWN, Dataset
from data_platform.publish.target import GateFailed, PublicationFailed
from data_platform.publish.text import text_of
from data_platform.warehouse.describe import read_column_types
from data_platform.warehouse.table import DOES_NOT_EXIST, TableRef

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

BATCH_ROWS = 16_384
GEOMETRY = "geometry"
"""The last column of the rows, if the dataset has shapes: WKB, degrees of WGS 84 (SRID 4326)."""
_NUMBER = re.compile(r"number\((\d+),\s*(\d+)\)")
_JSON = ("variant", "object", "array")
_SHAPES = ("geometry", "geography")
_LONGEST_NAME = 63  # of PostgreSQL; NAMEDATALEN is 64


@dataclass(frozen=True)
class Rows:
    """A dataset's rows, on disk. `columns`: their types, without the geometry's. `extent`: west, south, east and north
    of all shapes, in degrees; None without shapes. `shown`: at most `shapes.MAP_SHAPES` of the shapes, for a map."""

    path: Path
    columns: pa.Schema
    has_geometry: bool
    number: int
    fingerprint: str
    query_id: str
    kinds: tuple[str, ...]
    extent: tuple[float, float, float, float] | None
    shown: tuple[bytes, ...]

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows in the key's order: the columns, then the geometry."""
        with pa.memory_map(str(self.path)) as source, pa.ipc.open_file(source) as reader:
            for number in range(reader.num_record_batches):
                yield reader.get_batch(number)


@contextmanager
def read_rows(connection: SnowflakeConnection, database: str, dataset: Dataset, definition: str) -> Iterator[Rows]:
    """The dataset's rows, until the block ends. `definition`: how the target publishes them. Raises GateFailed for rows
    that can't be published, PublicationFailed for columns that can't."""
    relation = relation_of(database, dataset)
    fields = _fields(dataset, _columns_of(connection, dataset, relation))
    with TemporaryDirectory(prefix="publish-") as folder, connection.cursor() as cursor:
        cursor.execute(_select(dataset, relation, fields))
        query_id = str(cursor.sfqid)
        tables: Iterable[Any] = cursor.fetch_arrow_batches()
        yield write_rows(Path(folder) / "rows.arrow", dataset, fields, tables, query_id, definition)


def _columns_of(connection: SnowflakeConnection, dataset: Dataset, relation: TableRef) -> dict[str, str]:
    from snowflake.connector import ProgrammingError

    try:
        return read_column_types(connection, relation.sql)
    except ProgrammingError as refused:
        if refused.errno not in DOES_NOT_EXIST:
            raise
        model = dataset.publication.from_
        raise PublicationFailed(
            f"{dataset.id}: {model} has no table in Snowflake. Build it: `data-platform run --select {model}`; or"
            " correct `from`"
        ) from None


def relation_of(database: str, dataset: Dataset) -> TableRef:
    """The mart in Snowflake."""
    folder, _, model = dataset.publication.from_.partition("/")
    return TableRef(database.upper(), folder.upper(), model.upper())


def _fields(dataset: Dataset, found: Mapping[str, str]) -> dict[str, str]:
    """{column: Snowflake's type} of the columns to publish, and last the column with shapes. Raises
    PublicationFailed."""
    given, geometry = dataset.publication, dataset.publication.geometry
    shape = geometry.column if geometry else None
    wanted = given.columns or [name for name in found if name != shape]
    missing = [name for name in (*wanted, *given.key, *_places(dataset)) if name not in found]
    if missing:
        raise PublicationFailed(
            f"{dataset.id}: {given.from_} has no column {', '.join(dict.fromkeys(missing))}; it has {', '.join(found)}."
            " Correct `columns`, `key` or `geometry`, or the model"
        )
    for name in wanted:
        if name in OWN or len(name.encode()) > _LONGEST_NAME or not re.fullmatch(r"[a-z_][a-z0-9_]*", name):
            raise PublicationFailed(
                f"{dataset.id}: {name!r} can't be a published column's name; rename it in the model"
            )
        if found[name].startswith((*_SHAPES, "binary")):
            raise PublicationFailed(
                f"{dataset.id}: {name} is of type {found[name]}; name it as `geometry: {{column: {name}}}`, or leave it"
                " out of `columns`"
            )
    if shape is not None and not found[shape].startswith(_SHAPES):
        raise PublicationFailed(f"{dataset.id}: {shape} is of type {found[shape]}; expected GEOMETRY or GEOGRAPHY")
    return {name: found[name] for name in wanted} | ({shape: found[shape]} if shape else {})


def _places(dataset: Dataset) -> list[str]:
    geometry = dataset.publication.geometry
    given = (geometry.longitude, geometry.latitude, geometry.column) if geometry else ()
    return [name for name in given if name is not None]


def _select(dataset: Dataset, relation: TableRef, fields: Mapping[str, str]) -> str:
    """The query. Numbers come as text, which is exact: the connector makes doubles of NUMBER with a scale. Shapes come
    as WKB (https://docs.snowflake.com/en/sql-reference/functions/st_aswkb) with their SRID."""
    geometry = dataset.publication.geometry
    items = []
    for name, kind in fields.items():
        column = quoted(name.upper())
        if kind.startswith(_SHAPES):
            items += [f"ST_ASWKB({column}) AS GEOMETRY", f"ST_SRID({column}) AS SRID"]
        elif kind.startswith("number"):
            items.append(f"{column}::VARCHAR AS {column}")
        elif kind in _JSON:
            items.append(f"TO_JSON({column}) AS {column}")
        else:
            items.append(column)
    if geometry is not None and geometry.longitude and geometry.latitude:
        items += [
            f"{quoted(geometry.longitude.upper())}::FLOAT AS LONGITUDE__",
            f"{quoted(geometry.latitude.upper())}::FLOAT AS LATITUDE__",
        ]
    order = ", ".join(quoted(name.upper()) for name in dataset.publication.key)
    return f"SELECT {', '.join(items)} FROM {relation.sql} ORDER BY {order}"


def arrow_type(kind: str) -> pa.DataType:
    """The type of a published column, from Snowflake's, as DESCRIBE prints it in lower case."""
    if number := _NUMBER.fullmatch(kind):
        precision, scale = int(number[1]), int(number[2])
        return pa.int64() if scale == 0 and precision <= 18 else pa.decimal128(precision, scale)
    if kind.startswith(("float", "double", "real")):
        return pa.float64()
    if kind.startswith(("timestamp_tz", "timestamp_ltz")):
        return pa.timestamp("us", "UTC")
    if kind.startswith("timestamp"):
        return pa.timestamp("us")
    if kind.startswith("time"):
        return pa.time64("us")
    if kind == "boolean":
        return pa.bool_()
    return pa.date32() if kind == "date" else pa.string()


def write_rows(
    path: Path, dataset: Dataset, fields: Mapping[str, str], tables: Iterable[Any], query_id: str, definition: str
) -> Rows:
    """Writes the query's result to a file. `fields`: Snowflake's types of its columns. Raises GateFailed."""
    geometry = dataset.publication.geometry
    names = [name for name in fields if geometry is None or name != geometry.column]
    columns = pa.schema([pa.field(name, arrow_type(fields[name])) for name in names])
    schema = columns.append(pa.field(GEOMETRY, pa.binary())) if geometry else columns
    digest = hashlib.sha256(f"{definition}\n{schema}\n".encode())
    number, seen = 0, shapes.Seen()
    with (
        pa.OSFile(str(path), "wb") as sink,
        pa.ipc.new_file(sink, schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer,
    ):
        for table in tables:
            for batch in table.to_batches(max_chunksize=BATCH_ROWS):
                made = _converted(batch, columns, dataset, number)
                if geometry:
                    seen.add(made.column(GEOMETRY))
                writer.write_batch(made)
                digest.update(text_of(made))
                number += made.num_rows
    if not number:
        raise GateFailed(f"{dataset.id}: {dataset.publication.from_} has no rows, and an empty dataset isn't published")
    return Rows(
        path, columns, geometry is not None, number, digest.hexdigest(), query_id, seen.kinds, seen.extent, seen.shown
    )


def _converted(batch: pa.RecordBatch, columns: pa.Schema, dataset: Dataset, before: int) -> pa.RecordBatch:
    """A batch in the published types. Raises GateFailed for a shape that isn't valid; `before`: the rows before it."""
    given = {name.lower(): batch.column(place) for place, name in enumerate(batch.schema.names)}
    arrays = [given[field.name].cast(field.type) for field in columns]
    geometry = dataset.publication.geometry
    if geometry is None:
        return pa.RecordBatch.from_arrays(arrays, schema=columns)
    if geometry.column:
        wrong = [srid for srid in set(given["srid"].to_pylist()) if srid not in (None, 4326)]
        if wrong:
            raise GateFailed(
                f"{dataset.id}: {geometry.column} has shapes in SRID {wrong[0]}; expected 4326 (degrees of WGS 84). Use"
                " ST_TRANSFORM(..., 4326) in the model"
            )
        wkb = given["geometry"]
    else:
        wkb = shapes.points(given["longitude__"], given["latitude__"])
    if bad := shapes.first_invalid(wkb):
        place, why = bad
        key = ", ".join(f"{name} {given[name][place].as_py()}" for name in dataset.publication.key if name in given)
        raise GateFailed(
            f"{dataset.id}: the shape of row {before + place + 1} ({key}) is not valid: {why}. Correct it in the model"
        )
    return pa.RecordBatch.from_arrays(
        [*arrays, wkb.cast(pa.binary())], schema=columns.append(pa.field(GEOMETRY, pa.binary()))
    )
