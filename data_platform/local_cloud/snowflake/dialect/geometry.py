"""GEOMETRY: a shape and its SRID, which DuckDB's own GEOMETRY type does not keep with the value.

A value is STRUCT(srid, shape): read from WKB by TO_GEOMETRY, as COPY INTO does, and written as WKB or GeoJSON
(https://docs.snowflake.com/en/sql-reference/data-types-geospatial). No measuring or predicates: DuckDB has those
in an extension that is not here.
"""

from __future__ import annotations

from sqlglot import Expr, exp

from data_platform.local_cloud.snowflake.dialect.duckdb_sql import MAIN, call

GEOMETRY_TYPE = "STRUCT(srid INTEGER, shape GEOMETRY)"

# DuckDB writes a shape with Z or M as a type above 1000, so that the type's second byte isn't 0. Snowflake's
# pages name no code for the refusal of such a shape.
MACROS = f"""
CREATE OR REPLACE MACRO {MAIN}._dp_flat(shape) AS CASE WHEN (ST_AsWKB(shape)::BLOB)[3:3] <> '\\x00'::BLOB
    THEN error('000002 (0A000): Unsupported feature ''GEOMETRY of more than two dimensions''.') ELSE shape END;
CREATE OR REPLACE MACRO {MAIN}._dp_to_geometry(wkb, srid) AS CASE WHEN wkb IS NULL THEN NULL
    ELSE struct_pack(srid := srid::INTEGER, shape := {MAIN}._dp_flat(ST_GeomFromWKB(wkb::BLOB))) END;
CREATE OR REPLACE MACRO {MAIN}._dp_as_wkb(g) AS ST_AsWKB(g.shape)::BLOB;
CREATE OR REPLACE MACRO {MAIN}._dp_as_geojson(g) AS ST_AsGeoJSON(g.shape)::JSON;
CREATE OR REPLACE MACRO {MAIN}._dp_srid(g) AS g.srid;
"""

_FUNCTIONS = {
    "ST_ASWKB": "_dp_as_wkb",
    "ST_ASBINARY": "_dp_as_wkb",
    "ST_ASGEOJSON": "_dp_as_geojson",
    "ST_SRID": "_dp_srid",
}


def geometry_type(node: Expr) -> Expr:
    """The type in a column definition. Last of all transforms: others would change what is inside the STRUCT."""
    if isinstance(node, exp.DataType) and node.this is exp.DataType.Type.GEOMETRY:
        return exp.DataType.build(GEOMETRY_TYPE, dialect="duckdb")
    return node


def geometry_functions(node: Expr) -> Expr:
    """The functions that read and write GEOMETRY."""
    if not isinstance(node, exp.Func):
        return node
    name = node.name.upper() if isinstance(node, exp.Anonymous) else node.sql_name()
    arguments = node.expressions if isinstance(node, exp.Anonymous) else list(node.iter_expressions())
    if name == "TO_GEOMETRY":
        return call("_dp_to_geometry", arguments[0], arguments[1] if len(arguments) > 1 else exp.Literal.number(0))
    return call(_FUNCTIONS[name], *arguments) if name in _FUNCTIONS else node
