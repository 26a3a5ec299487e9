"""INFORMATION_SCHEMA: its views, and the queries that count rows and bytes now. SHOW and DESCRIBE are in `show`."""

from __future__ import annotations

from duckdb import DuckDBPyConnection
from fakesnow.instance import GLOBAL_DATABASE_NAME

from data_platform.local_cloud.snowflake.dialect.duckdb_sql import INFORMATION_SCHEMA, literal, quoted
from data_platform.local_cloud.snowflake.dialect.geometry import GEOMETRY_TYPE
from data_platform.local_cloud.snowflake.engine.times import TableTimes

_INTEGERS = (
    "'TINYINT', 'SMALLINT', 'INTEGER', 'BIGINT', 'HUGEINT', 'UTINYINT', 'USMALLINT', 'UINTEGER', 'UBIGINT', 'UHUGEINT'"
)

VIEWS = f"""
CREATE OR REPLACE VIEW {INFORMATION_SCHEMA}._fs_columns AS
SELECT
    database_name AS TABLE_CATALOG, schema_name AS TABLE_SCHEMA, table_name AS TABLE_NAME,
    column_name AS COLUMN_NAME, column_index AS ORDINAL_POSITION, column_default AS COLUMN_DEFAULT,
    CASE WHEN is_nullable THEN 'YES' ELSE 'NO' END AS IS_NULLABLE, kind AS DATA_TYPE,
    CASE kind WHEN 'TEXT' THEN 16777216 WHEN 'BINARY' THEN 8388608 END AS CHARACTER_MAXIMUM_LENGTH,
    CASE kind WHEN 'TEXT' THEN 16777216 WHEN 'BINARY' THEN 8388608 END AS CHARACTER_OCTET_LENGTH,
    CASE WHEN t LIKE 'DECIMAL%' THEN regexp_extract(t, '(\\d+)', 1)::INTEGER WHEN kind = 'NUMBER' THEN 38 END
        AS NUMERIC_PRECISION,
    CASE kind WHEN 'NUMBER' THEN 10 END AS NUMERIC_PRECISION_RADIX,
    CASE WHEN t LIKE 'DECIMAL%' THEN regexp_extract(t, ',\\s?(\\d+)', 1)::INTEGER WHEN kind = 'NUMBER' THEN 0 END
        AS NUMERIC_SCALE,
    CASE WHEN kind LIKE 'TIME%' THEN 9 END AS DATETIME_PRECISION,
    NULL::VARCHAR AS COLLATION_NAME, 'NO' AS IS_IDENTITY, NULL::VARCHAR AS IDENTITY_GENERATION,
    NULL::VARCHAR AS IDENTITY_CYCLE, comment AS COMMENT, NULL::VARCHAR AS IDENTITY_START,
    NULL::VARCHAR AS IDENTITY_INCREMENT, NULL::VARCHAR AS IDENTITY_ORDERED, NULL::VARCHAR AS DATA_TYPE_ALIAS,
    t AS _duck_type
FROM (
    SELECT *, data_type AS t, CASE
        WHEN t LIKE 'DECIMAL%' OR t IN ({_INTEGERS}) THEN 'NUMBER'
        WHEN t = '{GEOMETRY_TYPE}' OR t LIKE 'GEOMETRY%' THEN 'GEOMETRY'
        WHEN t LIKE '%[]' THEN 'ARRAY'
        WHEN t LIKE 'STRUCT%' OR t LIKE 'MAP%' THEN 'OBJECT'
        WHEN t IN ('DOUBLE', 'FLOAT') THEN 'FLOAT'
        WHEN t = 'BLOB' THEN 'BINARY'
        WHEN t = 'TIMESTAMP WITH TIME ZONE' THEN 'TIMESTAMP_TZ'
        WHEN t LIKE 'TIMESTAMP%' THEN 'TIMESTAMP_NTZ'
        WHEN t = 'JSON' THEN 'VARIANT'
        WHEN t IN ('BOOLEAN', 'DATE', 'TIME') THEN t
        ELSE 'TEXT' END AS kind
    FROM duckdb_columns()
    WHERE NOT internal AND schema_name <> '_fs_information_schema' AND database_name <> '{GLOBAL_DATABASE_NAME}'
);
CREATE OR REPLACE VIEW {INFORMATION_SCHEMA}._dp_relations AS
SELECT database_name, schema_name, table_name AS name, 'BASE TABLE' AS kind, comment, NULL::VARCHAR AS text
FROM duckdb_tables() WHERE NOT internal AND NOT temporary
UNION ALL
SELECT database_name, schema_name, view_name, 'VIEW', comment, sql FROM duckdb_views() WHERE NOT internal;
"""


def database_views(database: str) -> str:
    """Statements for a new database: its schema PUBLIC, and our INFORMATION_SCHEMA in place of fakesnow's."""
    return f"""
    CREATE SCHEMA IF NOT EXISTS "{database}".PUBLIC;
    CREATE SCHEMA IF NOT EXISTS "{database}"._fs_information_schema;
    CREATE OR REPLACE VIEW "{database}"._fs_information_schema._fs_columns AS
    SELECT * EXCLUDE (_duck_type) FROM {INFORMATION_SCHEMA}._fs_columns WHERE table_catalog = '{database}';
    """


def table_statistics(
    duck: DuckDBPyConnection, times: TableTimes, database: str | None, schema: str | None = None
) -> str:
    """A SELECT of (database_name, schema_name, name, row_count, bytes, created, last_altered) of the tables there."""
    where = "NOT internal AND NOT temporary AND schema_name <> '_fs_information_schema'"
    for column, value in (("database_name", database), ("schema_name", schema)):
        if value:
            where += f" AND {column} = {literal(value)}"
    tables = duck.execute(
        f"SELECT database_name, schema_name, table_name, column_count FROM duckdb_tables() WHERE {where}"
    ).fetchall()
    rows = []
    for catalog, table_schema, name, columns in tables:
        key = (str(catalog), str(table_schema), str(name))
        created, altered = times.created(key).isoformat(), times.altered(key).isoformat()
        count = f"(SELECT count(*) FROM {'.'.join(quoted(p) for p in key)})"
        rows.append(
            f"SELECT {', '.join(literal(p) for p in key)}, {count}, {count} * {int(columns) * 8}, "
            f"TIMESTAMPTZ '{created}', TIMESTAMPTZ '{altered}'"
        )
    none = "SELECT NULL::VARCHAR, NULL::VARCHAR, NULL::VARCHAR, 0, 0, NULL::TIMESTAMPTZ, NULL::TIMESTAMPTZ WHERE false"
    names = "(database_name, schema_name, name, row_count, bytes, created, last_altered)"
    return f"SELECT * FROM ({' UNION ALL '.join(rows or [none])}) AS _statistics{names}"


def information_schema_tables(duck: DuckDBPyConnection, times: TableTimes, database: str) -> str:
    """INFORMATION_SCHEMA.TABLES of one database, counted now."""
    return f"""
    SELECT r.database_name AS TABLE_CATALOG, r.schema_name AS TABLE_SCHEMA, r.name AS TABLE_NAME,
        'DATA_PLATFORM' AS TABLE_OWNER, r.kind AS TABLE_TYPE, 'NO' AS IS_TRANSIENT,
        NULL::VARCHAR AS CLUSTERING_KEY, s.row_count AS ROW_COUNT, s.bytes AS BYTES, 1 AS RETENTION_TIME,
        coalesce(s.created, to_timestamp(0)) AS CREATED, coalesce(s.last_altered, to_timestamp(0)) AS LAST_ALTERED,
        coalesce(s.last_altered, to_timestamp(0)) AS LAST_DDL, 'NO' AS AUTO_CLUSTERING_ON, r.comment AS COMMENT,
        'NO' AS IS_TEMPORARY, 'NO' AS IS_ICEBERG, 'NO' AS IS_DYNAMIC, 'NO' AS IS_IMMUTABLE, 'NO' AS IS_HYBRID
    FROM {INFORMATION_SCHEMA}._dp_relations AS r
    LEFT JOIN ({table_statistics(duck, times, database)}) AS s USING (database_name, schema_name, name)
    WHERE r.database_name = {literal(database)} AND r.schema_name <> '_fs_information_schema'
    """
