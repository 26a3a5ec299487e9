"""COPY INTO a table from Parquet files of an external stage, as one DuckDB INSERT for all files.

Both forms: MATCH_BY_COLUMN_NAME, and `FROM (SELECT $1:column::TYPE … FROM @stage/path)`. Other formats and internal
stages stay with fakesnow. See https://docs.snowflake.com/en/sql-reference/sql/copy-into-table.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
from fakesnow import copy_into as fakesnow_copy
from sqlglot import exp

from data_platform.local_cloud.snowflake.dialect.copy_into import transformation
from data_platform.local_cloud.snowflake.dialect.duckdb_sql import literal, quoted
from data_platform.local_cloud.snowflake.dialect.errors import compilation_error, error
from data_platform.local_cloud.snowflake.dialect.geometry import GEOMETRY_TYPE
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
_NOTHING = pa.table({"status": ["Copy executed with 0 files processed."]})


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


def copy_from_stage(session: Session, copy: exp.Copy, target: CopyTarget) -> tuple[pa.Table, int] | None:
    """Load the files. Returns Snowflake's row a file and the rows loaded, or None if fakesnow should do it.

    Raises ProgrammingError for a missing file or column and for a value that the column does not hold.
    """
    duck = session.duck
    # fakesnow takes FORCE for TRUE whatever its value is, and takes the parameters out of the tree.
    force = any(p.name.upper() == "FORCE" and p.args.get("expression") == exp.true() for p in copy.args["params"])
    params = fakesnow_copy._params(copy, None, duck, session.database, session.schema)
    source = fakesnow_copy._from_source(copy)
    if source.startswith("@"):
        table = exp.table_(target.name, db=target.schema, catalog=target.catalog)
        source = fakesnow_copy.stage_url_from_var(
            source[1:], duck, session.database, session.schema, session.table_stages, table
        )
    if not source.startswith("s3://") or not isinstance(params.file_format, fakesnow_copy.ReadParquet):
        return None
    if params.files:
        prefix = source if source.endswith("/") else source + "/"
        urls = list(dict.fromkeys(prefix + name.lstrip("/") for name in params.files))
    else:
        urls = session.instance.files.below(source)
    loaded_before = set() if force else _loaded_before(duck, target, urls)
    skipped = [u for u in urls if u in loaded_before]
    urls = [u for u in urls if u not in loaded_before]
    if not urls and not skipped:
        return _NOTHING, 0
    rows: dict[str, int] = {}
    if urls:
        with session.instance.files.fetched(urls) as paths:
            rows = dict(zip(urls, _row_counts(duck, paths), strict=True))
            loaded = _insert(duck, copy, target, params.match_by_column_name, paths)
        _record(duck, target, rows)
    else:
        loaded = 0
    report = [_loaded_row(url, count) for url, count in rows.items()] + [_skipped_row(url) for url in skipped]
    return pa.Table.from_pylist(report, schema=_RESULT_SCHEMA), loaded


def _insert(
    duck: duckdb.DuckDBPyConnection,
    copy: exp.Copy,
    target: CopyTarget,
    match: fakesnow_copy.MatchByColumnName,
    paths: Sequence[Path],
) -> int:
    files = ", ".join(literal(str(p)) for p in paths)
    read = f"read_parquet([{files}], union_by_name = true)"
    described = duck.execute(f"DESCRIBE SELECT * FROM {read}").fetchall()
    file_columns = {name: kind for name, kind, *_ in described}
    described = duck.execute(f"DESCRIBE {target.sql}").fetchall()
    table_columns = {name: kind for name, kind, *_ in described}
    source = copy.args["files"][0]
    if isinstance(source, exp.Subquery):
        names = target.columns or tuple(table_columns)
        values = transformation(source.this, file_columns)
        if len(values) != len(names):
            raise compilation_error(
                2020,
                "21S01",
                f"Insert value list does not match column list expecting {len(names)} but got {len(values)}",
            )
    elif match is fakesnow_copy.MatchByColumnName.NONE:
        if list(table_columns.values()) != ["JSON"]:
            raise compilation_error(
                2019,
                "0A000",
                "PARQUET file format can produce one and only one column of type variant, object, or array. Load "
                "data into separate columns using the MATCH_BY_COLUMN_NAME copy option or copy with transformation.",
            )
        names, values = tuple(table_columns), ["to_json(_FILE)"]
    else:
        pairs = _matched(table_columns, file_columns, match is fakesnow_copy.MatchByColumnName.CASE_SENSITIVE)
        names = tuple(name for name, _ in pairs)
        values = [value for _, value in pairs]
    if missing := [name for name in names if name not in table_columns]:
        raise compilation_error(904, "42000", f"error line 1 at position 0\ninvalid identifier '{missing[0]}'")
    columns = ", ".join(quoted(name) for name in names)
    projection = ", ".join(_fitted(value, table_columns[name], name) for name, value in zip(names, values, strict=True))
    duck.execute(f"INSERT INTO {target.sql} ({columns}) SELECT {projection} FROM {read} AS _FILE")
    return int(duck.fetchall()[0][0])


def _matched(
    table_columns: dict[str, str], file_columns: dict[str, str], case_sensitive: bool
) -> list[tuple[str, str]]:
    """(table column, value) for each table column that the files have; the others take their default."""
    by_name = file_columns if case_sensitive else {name.upper(): name for name in file_columns}
    pairs = []
    for name, kind in table_columns.items():
        found = name if case_sensitive and name in by_name else by_name.get(name if case_sensitive else name.upper())
        if found is None:
            continue
        value = f"_FILE.{quoted(found)}"
        if kind == "JSON":
            value = f"to_json({value})"  # a string becomes a VARIANT string: it is not parsed
        elif kind == GEOMETRY_TYPE:
            value = f"_fs_global.main._dp_to_geometry({value}, NULL)"
        pairs.append((name, value))
    if not pairs:
        raise error(100080, "22000", "No column of the file matches a column of the table by name")
    return pairs


def _fitted(value: str, kind: str, name: str) -> str:
    return f"CAST({value} AS {kind})" if kind not in ("JSON", "BLOB", GEOMETRY_TYPE) else value


def _row_counts(duck: duckdb.DuckDBPyConnection, paths: Sequence[Path]) -> list[int]:
    files = ", ".join(literal(str(p)) for p in paths)
    counts = duck.execute(f"SELECT file_name, num_rows FROM parquet_file_metadata([{files}])").fetchall()
    by_path = dict(counts)
    return [int(by_path[str(p)]) for p in paths]


_TEMPORARY = "TEMP"  # DuckDB's catalog of temporary tables, which live too short for a history


def _history(target: CopyTarget) -> str:
    return f"{quoted(target.catalog)}._fs_information_schema._fs_load_history"


def _loaded_before(duck: duckdb.DuckDBPyConnection, target: CopyTarget, urls: Sequence[str]) -> set[str]:
    if target.catalog == _TEMPORARY:
        return set()
    found = duck.execute(
        f"SELECT DISTINCT file_name FROM {_history(target)} "
        "WHERE table_name = ? AND schema_name = ? AND list_contains(?, file_name)",
        [target.name, target.schema, list(urls)],
    ).fetchall()
    return {name for (name,) in found}


def _record(duck: duckdb.DuckDBPyConnection, target: CopyTarget, rows: dict[str, int]) -> None:
    if target.catalog == _TEMPORARY:
        return
    duck.execute(
        f"INSERT INTO {_history(target)} "
        "SELECT ?, f.url, ?, ?, 'LOADED', f.n, f.n, NULL, NULL, NULL, NULL, 0, 1 "
        "FROM (SELECT unnest(?) AS url, unnest(?) AS n) AS f",
        [target.schema, target.name, dt.datetime.now(dt.UTC), list(rows), list(rows.values())],
    )


def _loaded_row(url: str, rows: int) -> dict[str, object]:
    return {
        "file": url,
        "status": "LOADED",
        "rows_parsed": rows,
        "rows_loaded": rows,
        "error_limit": 1,
        "errors_seen": 0,
    }


def _skipped_row(url: str) -> dict[str, object]:
    return {
        "file": url, "status": "LOAD_SKIPPED", "rows_parsed": 0, "rows_loaded": 0, "errors_seen": 1,
        "first_error": "File was loaded before.",
    }  # fmt: skip
