"""COPY INTO a table from Parquet files of an external stage, as one DuckDB INSERT for all files.

One form, which the platform uses: `FROM (SELECT $1:column::TYPE … FROM @stage/path) FILES = (…) FORCE = TRUE`.
See https://docs.snowflake.com/en/sql-reference/sql/copy-into-table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
from fakesnow import copy_into as fakesnow_copy
from sqlglot import exp

from data_platform.local_cloud.snowflake.dialect.copy_into import transformation
from data_platform.local_cloud.snowflake.dialect.duckdb_sql import MAIN, literal, quoted
from data_platform.local_cloud.snowflake.dialect.errors import compilation_error
from data_platform.local_cloud.snowflake.dialect.geometry import GEOMETRY_TYPE
from data_platform.local_cloud.snowflake.dialect.limits import FITS
from data_platform.local_cloud.snowflake.engine.results import Result, column_info
from data_platform.local_cloud.snowflake.engine.session import Session

_COLUMNS: dict[str, pa.DataType] = {
    "file": pa.string(),
    "status": pa.string(),
    "rows_parsed": pa.int64(),
    "rows_loaded": pa.int64(),
    "error_limit": pa.int64(),
    "errors_seen": pa.int64(),
    "first_error": pa.string(),
    "first_error_line": pa.int64(),
    "first_error_character": pa.int64(),
    "first_error_column_name": pa.string(),
}
_RESULT_SCHEMA = pa.schema(_COLUMNS)
_RESULT_COLUMNS = [column_info(name, "BIGINT" if t == pa.int64() else "VARCHAR") for name, t in _COLUMNS.items()]


@dataclass(frozen=True)
class CopyTarget:
    """The table, qualified, and the columns that the statement names (none: all of them)."""

    catalog: str
    schema: str
    name: str
    columns: tuple[str, ...]

    @property
    def sql(self) -> str:
        return ".".join(quoted(part) for part in (self.catalog, self.schema, self.name))


def copy_from_stage(session: Session, copy: exp.Copy, target: CopyTarget) -> Result:
    """Load the files. The result has one row per file.

    Raises ProgrammingError for a missing file or column and for a value that the column does not hold.
    """
    duck = session.duck
    # fakesnow takes FORCE for TRUE whatever its value is, and takes the parameters out of the tree.
    force = any(p.name.upper() == "FORCE" and p.args.get("expression") == exp.true() for p in copy.args["params"])
    params = fakesnow_copy._params(copy, None, duck, session.database, session.schema)
    stage = fakesnow_copy._from_source(copy)
    if (
        not force
        or not params.files
        or not stage.startswith("@")
        or not isinstance(copy.args["files"][0], exp.Subquery)
    ):
        raise NotImplementedError("COPY INTO, except FROM (SELECT … FROM @stage) FILES = (…) FORCE = TRUE")
    table = exp.table_(target.name, db=target.schema, catalog=target.catalog)
    source = fakesnow_copy.stage_url_from_var(
        stage[1:], duck, session.database, session.schema, session.table_stages, table
    )
    if not source.startswith("s3://") or not isinstance(params.file_format, fakesnow_copy.ReadParquet):
        raise NotImplementedError("COPY INTO from anything but Parquet files of a stage on S3")
    prefix = source if source.endswith("/") else source + "/"
    urls = list(dict.fromkeys(prefix + name.lstrip("/") for name in params.files))
    with session.instance.files.fetched(urls) as paths:
        rows = dict(zip(urls, _row_counts(duck, paths), strict=True))
        loaded = _insert(duck, copy, target, paths)
    report = [
        {
            "file": url,
            "status": "LOADED",
            "rows_parsed": count,
            "rows_loaded": count,
            "error_limit": 1,
            "errors_seen": 0,
        }
        for url, count in rows.items()
    ]
    return Result(pa.Table.from_pylist(report, schema=_RESULT_SCHEMA), _RESULT_COLUMNS, loaded)


def _insert(duck: duckdb.DuckDBPyConnection, copy: exp.Copy, target: CopyTarget, paths: Sequence[Path]) -> int:
    read = f"read_parquet([{_listed(paths)}], union_by_name = true)"
    file_columns, table_columns = (
        {name: kind for name, kind, *_ in duck.execute(f"DESCRIBE {source}").fetchall()}
        for source in (f"SELECT * FROM {read}", target.sql)
    )
    names = target.columns or tuple(table_columns)
    values = transformation(copy.args["files"][0].this, file_columns)
    if len(values) != len(names):
        raise compilation_error(
            2020,
            "21S01",
            f"Insert value list does not match column list expecting {len(names)} but got {len(values)}",
        )
    if missing := [name for name in names if name not in table_columns]:
        raise compilation_error(904, "42000", f"error line 1 at position 0\ninvalid identifier '{missing[0]}'")
    columns = ", ".join(quoted(name) for name in names)
    projection = ", ".join(_cast(value, table_columns[name]) for name, value in zip(names, values, strict=True))
    duck.execute(f"INSERT INTO {target.sql} ({columns}) SELECT {projection} FROM {read} AS _FILE")
    return int(duck.fetchall()[0][0])


def _cast(value: str, kind: str) -> str:
    if kind not in ("JSON", "BLOB", GEOMETRY_TYPE):
        value = f"CAST({value} AS {kind})"
    return f"{MAIN}.{FITS[kind]}({value})" if kind in FITS else value


def _row_counts(duck: duckdb.DuckDBPyConnection, paths: Sequence[Path]) -> list[int]:
    counts = duck.execute(f"SELECT file_name, num_rows FROM parquet_file_metadata([{_listed(paths)}])").fetchall()
    by_path = dict(counts)
    return [int(by_path[str(p)]) for p in paths]


def _listed(paths: Sequence[Path]) -> str:
    return ", ".join(literal(str(path)) for path in paths)
