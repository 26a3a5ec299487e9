"""GEOMETRY: a shape and its SRID, which DuckDB's own GEOMETRY type does not keep with the value.

A value is STRUCT(srid, shape). Read from WKB, EWKB, hex, WKT, EWKT and GeoJSON; written back as Snowflake prints it
(https://docs.snowflake.com/en/sql-reference/data-types-geospatial). No measuring or predicates: DuckDB has those
in an extension that is not here.
"""

from __future__ import annotations

from sqlglot import Expr, exp

from data_platform.local_cloud.snowflake.dialect.duckdb_sql import MAIN, call

GEOMETRY_TYPE = "STRUCT(srid INTEGER, shape GEOMETRY)"

# In EWKB the fifth byte carries flags; 0x20 says that four bytes of SRID follow. Only little-endian EWKB is read.
MACROS = f"""
CREATE OR REPLACE MACRO {MAIN}._dp_has_srid(h) AS h[1:2] = '01' AND (('0x' || h[9:10])::INTEGER & 32) = 32;
CREATE OR REPLACE MACRO {MAIN}._dp_hex_srid(h) AS
    CASE WHEN {MAIN}._dp_has_srid(h)
        THEN ('0x' || h[17:18] || h[15:16] || h[13:14] || h[11:12])::INTEGER END;
CREATE OR REPLACE MACRO {MAIN}._dp_hex_shape(h) AS ST_GeomFromWKB(from_hex(
    CASE WHEN {MAIN}._dp_has_srid(h)
        THEN h[1:8] || format('{{:02X}}', ('0x' || h[9:10])::INTEGER & 223) || h[19:] ELSE h END));
CREATE OR REPLACE MACRO {MAIN}._dp_shape_of_hex(h, srid) AS
    struct_pack(srid := coalesce(srid::INTEGER, {MAIN}._dp_hex_srid(h), 0), shape := {MAIN}._dp_hex_shape(h));
CREATE OR REPLACE MACRO {MAIN}._dp_shape_of_text(t, srid) AS
    CASE WHEN t IS NULL THEN NULL
        WHEN regexp_full_match(t, '[0-9A-Fa-f]+') THEN {MAIN}._dp_shape_of_hex(upper(t), srid)
        WHEN ltrim(t)[1:1] = '{{'
            THEN struct_pack(srid := coalesce(srid::INTEGER, 4326), shape := ST_GeomFromGeoJSON(t::JSON)::GEOMETRY)
        WHEN upper(t)[1:5] = 'SRID='
            THEN struct_pack(srid := coalesce(srid::INTEGER, regexp_extract(t, '(?i)SRID=(\\d+);', 1)::INTEGER),
                             shape := CAST(regexp_replace(t, '^[^;]*;', '') AS GEOMETRY))
        ELSE struct_pack(srid := coalesce(srid::INTEGER, 0), shape := CAST(t AS GEOMETRY)) END;
CREATE OR REPLACE MACRO {MAIN}._dp_shape_of_struct(t, srid) AS struct_pack(
    srid := coalesce(srid::INTEGER, regexp_extract(t, '.srid.: (\\d+)', 1)::INTEGER),
    shape := CAST(regexp_extract(t, '.shape.: .([^'']+)', 1) AS GEOMETRY));
CREATE OR REPLACE MACRO {MAIN}._dp_to_geometry(v, srid) AS
    CASE WHEN v IS NULL THEN NULL
        WHEN typeof(v) = '{GEOMETRY_TYPE}' THEN {MAIN}._dp_shape_of_struct(v::VARCHAR, srid)
        WHEN typeof(v) = 'BLOB' THEN {MAIN}._dp_shape_of_hex(hex(v::BLOB), srid)
        ELSE {MAIN}._dp_shape_of_text(v::VARCHAR, srid) END;
CREATE OR REPLACE MACRO {MAIN}._dp_as_wkt(g) AS
    regexp_replace(replace(ST_AsText(g.shape), ', ', ','), '([A-Z]) ([A-Z]*) ?\\(', '\\1\\2(', 'g');
CREATE OR REPLACE MACRO {MAIN}._dp_as_ewkt(g) AS
    CASE WHEN g.srid > 0 THEN 'SRID=' || g.srid || ';' ELSE '' END || {MAIN}._dp_as_wkt(g);
CREATE OR REPLACE MACRO {MAIN}._dp_as_wkb(g) AS ST_AsWKB(g.shape)::BLOB;
CREATE OR REPLACE MACRO {MAIN}._dp_as_geojson(g) AS ST_AsGeoJSON(g.shape)::JSON;
CREATE OR REPLACE MACRO {MAIN}._dp_srid(g) AS g.srid;
CREATE OR REPLACE MACRO {MAIN}._dp_set_srid(g, s) AS
    CASE WHEN g IS NULL THEN NULL ELSE struct_pack(srid := s::INTEGER, shape := g.shape) END;
CREATE OR REPLACE MACRO {MAIN}._dp_coordinate(g, n) AS (ST_AsGeoJSON(g.shape)->('$.coordinates[' || n || ']'))::DOUBLE;
CREATE OR REPLACE MACRO {MAIN}._dp_point(x, y) AS
    struct_pack(srid := 4326, shape := CAST('POINT (' || x::DOUBLE || ' ' || y::DOUBLE || ')' AS GEOMETRY));
"""

_READERS = {
    "TO_GEOMETRY", "ST_GEOMETRYFROMWKB", "ST_GEOMFROMWKB", "ST_GEOMETRYFROMWKT", "ST_GEOMFROMWKT",
    "ST_GEOMETRYFROMTEXT", "ST_GEOMFROMTEXT", "ST_GEOMETRYFROMEWKT", "ST_GEOMFROMEWKT", "ST_GEOMETRYFROMEWKB",
    "ST_GEOMFROMEWKB", "TO_GEOGRAPHY", "ST_GEOGRAPHYFROMWKT", "ST_GEOGRAPHYFROMWKB",
}  # fmt: skip
_WRITERS = {
    "ST_ASWKT": "_dp_as_wkt", "ST_ASTEXT": "_dp_as_wkt", "ST_ASEWKT": "_dp_as_ewkt", "ST_ASWKB": "_dp_as_wkb",
    "ST_ASBINARY": "_dp_as_wkb", "ST_ASGEOJSON": "_dp_as_geojson", "ST_SRID": "_dp_srid", "ST_SETSRID": "_dp_set_srid",
    "ST_MAKEPOINT": "_dp_point", "ST_POINT": "_dp_point", "ST_MAKEGEOMPOINT": "_dp_point",
}  # fmt: skip
_COORDINATES = {"ST_X": 0, "ST_Y": 1, "ST_Z": 2}
_TYPES = {exp.DataType.Type.GEOMETRY, exp.DataType.Type.GEOGRAPHY}


def geometry_type(node: Expr) -> Expr:
    """The type in a column definition. Last of all transforms: others would change what is inside the STRUCT."""
    if isinstance(node, exp.DataType) and node.this in _TYPES:
        return exp.DataType.build(GEOMETRY_TYPE, dialect="duckdb")
    return node


def geometry_functions(node: Expr) -> Expr:
    """Casts to GEOMETRY and the functions that read and write it."""
    if isinstance(node, exp.Cast) and node.to.this in _TYPES:
        return call("_dp_to_geometry", node.this, exp.null())
    if isinstance(node, exp.StPoint):
        return call("_dp_point", node.this, node.expression)
    if not isinstance(node, (exp.Anonymous, exp.Func)):
        return node
    name = node.name.upper() if isinstance(node, exp.Anonymous) else node.sql_name()
    arguments = node.expressions if isinstance(node, exp.Anonymous) else list(node.iter_expressions())
    if name in _READERS:
        srid = arguments[1] if len(arguments) > 1 and not isinstance(arguments[1], exp.Boolean) else exp.null()
        return call("_dp_to_geometry", arguments[0], srid)
    if name in _WRITERS:
        return call(_WRITERS[name], *arguments)
    if name in _COORDINATES:
        return call("_dp_coordinate", arguments[0], exp.Literal.number(_COORDINATES[name]))
    return node
