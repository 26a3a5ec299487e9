"""Copies every type's extremes into a scratch table, with the lake's own Parquet writer, the production stage and file
format, and the statement of a load, and compares what comes back."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from data_platform.cli.doctor.deep.extremes import EXTREMES, comparable
from data_platform.cli.doctor.finding import Finding
from data_platform.environment import Settings

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection
    from snowflake.connector.cursor import SnowflakeCursor

    from data_platform.lake.manifest import FileEntry, Manifest

SUBJECT = "copy"
PLACE = "place"


def copies(settings: Settings, connection: SnowflakeConnection, schema: str) -> Iterator[Finding]:
    """A finding per type. `schema`: where the table is created."""
    import obstore

    from data_platform.contract import Column
    from data_platform.lake.store import open_bucket
    from data_platform.warehouse.copy import copy_rows
    from data_platform.warehouse.schema import apply_schema, plan_schema
    from data_platform.warehouse.table import TableRef

    names = {kind: re.sub(r"\W+", "_", kind).strip("_") + "_value" for kind in EXTREMES}
    columns = [Column(name=PLACE, type="int64"), *(Column(name=name, type=kind) for kind, name in names.items())]
    table = TableRef(settings.snowflake.database.upper(), schema, "EXTREMES")
    store, key = open_bucket(settings, settings.lake_bucket), f"_doctor/{uuid.uuid4().hex}.parquet"
    try:
        file = _written(store, key, columns)
        apply_schema(connection, plan_schema(connection, table, columns))
        with connection.cursor() as cursor:
            copy_rows(_executing(cursor), table, columns, [_manifest(file, columns)])
            values = [f"ST_ASWKB({name})" if kind.startswith("geometry") else name for kind, name in names.items()]
            cursor.execute(f"SELECT {', '.join(values)} FROM {table.sql} ORDER BY {PLACE}")
            found = list(zip(*cursor.fetchall(), strict=True))
    finally:
        obstore.delete(store, key)
    for kind, of_kind in zip(EXTREMES, found, strict=True):
        yield compared(kind, of_kind)


def _executing(cursor: SnowflakeCursor) -> Callable[[str], SnowflakeCursor]:
    def execute(statement: str) -> SnowflakeCursor:
        cursor.execute(statement)
        return cursor

    return execute


def compared(kind: str, found: Any) -> Finding:
    """What came back of a type, beside what was written: its extremes, then nulls."""
    same, written = comparable(kind), EXTREMES[kind]
    for place, value in enumerate(found):
        expected = written[place] if place < len(written) else None
        if (value is None) != (expected is None) or (value is not None and same(value) != same(expected)):
            shown = f"{str(expected)[:60]!r} came back as {str(value)[:60]!r}"
            fix = "compare the file format and the stage with this release: data-platform schema apply"
            return Finding(f"{SUBJECT} {kind}", "failed", shown, fix)
    return Finding(
        f"{SUBJECT} {kind}", "ok", f"{len(written)} extremes and NULL came back exactly as they were written"
    )


def _written(store: Any, key: str, columns: Any) -> FileEntry:
    """The Parquet file of all types, side by side, with a row of nulls at the end."""
    import pyarrow as pa

    from data_platform.lake.parts import Parts, Uploads

    rows = [*zip_longest(*EXTREMES.values()), (None,) * len(EXTREMES)]
    schema = pa.schema([pa.field(column.name, column.arrow_type) for column in columns])
    values = [range(len(rows)), *zip(*rows, strict=True)]
    arrays = [pa.array(list(of), field.type) for of, field in zip(values, schema, strict=True)]
    uploads = Uploads(store)
    try:
        parts = Parts(uploads, lambda _: key, schema, part_bytes=None)
        parts.add(pa.RecordBatch.from_arrays(arrays, schema=schema))
        (file,) = parts.finish()
    finally:
        uploads.close()
    return file


def _manifest(file: FileEntry, columns: Any) -> Manifest:
    from data_platform.lake.manifest import ColumnEntry, Manifest

    now = datetime.now(UTC)
    return Manifest(
        extract_id="doctor",
        source="doctor",
        table="extremes",
        partition=None,
        contract_hash="",
        columns=tuple(ColumnEntry(column.name, str(column.arrow_type)) for column in columns),
        files=(file,),
        rows=file.rows,
        rejects=0,
        rejects_file=None,
        position_from=None,
        position_to=None,
        started_at=now,
        committed_at=now,
        run_id=None,
    )
