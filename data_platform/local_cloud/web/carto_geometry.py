"""What publishing uses of PostGIS, for a PostgreSQL that has none: a type `geometry` of EWKB in hexadecimal digits,
ST_SRID and ST_IsValid.

The local cloud's PostgreSQL comes from PyPI, where nothing brings PostGIS. Anything else of PostGIS is refused, as a
function that doesn't exist. The geometry in web mercator stays null: nothing here draws it. The contract tests run on
real PostGIS too.
"""

from __future__ import annotations

import re
from typing import Any

from psycopg2 import sql
from psycopg2.extras import execute_values

STAND_INS = """
CREATE TABLE IF NOT EXISTS cartodb.validity (digest text PRIMARY KEY, valid boolean NOT NULL);
GRANT SELECT ON cartodb.validity TO PUBLIC;
CREATE OR REPLACE FUNCTION cartodb.srid_of(ewkb text) RETURNS integer LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN get_byte(decode(substr(ewkb, 1, 18), 'hex'), 4) & 32 = 0 THEN 0 ELSE
        (SELECT b[1] + b[2] * 256 + b[3] * 65536 FROM (SELECT ARRAY[get_byte(h, 5), get_byte(h, 6), get_byte(h, 7)] AS b
            FROM decode(substr(ewkb, 1, 18), 'hex') AS h) AS bytes) END $$;
DO $$ BEGIN
    IF to_regtype('public.geometry') IS NULL THEN
        CREATE DOMAIN public.geometry AS text CHECK (VALUE ~ '^01([0-9A-F][0-9A-F]){8,}$');
        CREATE DOMAIN cartodb.geometry_4326 AS public.geometry CHECK (cartodb.srid_of(VALUE) = 4326);
        CREATE DOMAIN cartodb.geometry_3857 AS public.geometry CHECK (cartodb.srid_of(VALUE) = 3857);
    END IF;
END $$;
CREATE OR REPLACE FUNCTION public.st_srid(shape public.geometry) RETURNS integer LANGUAGE sql IMMUTABLE
    AS $$ SELECT cartodb.srid_of(shape::text) $$;
CREATE OR REPLACE FUNCTION public.st_isvalid(shape public.geometry) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
DECLARE found_valid boolean;
BEGIN
    IF shape IS NULL THEN RETURN NULL; END IF;
    SELECT valid INTO found_valid FROM cartodb.validity WHERE digest = md5(shape::text);
    IF NOT FOUND THEN RAISE EXCEPTION 'this stand-in for PostGIS knows only shapes that came by COPY'; END IF;
    RETURN found_valid;
END $$;
CREATE OR REPLACE FUNCTION cartodb.type_of(srid integer) RETURNS text LANGUAGE sql IMMUTABLE
    AS $$ SELECT 'cartodb.geometry_' || srid $$;
CREATE OR REPLACE FUNCTION cartodb.finish(made regclass) RETURNS void LANGUAGE sql AS '';
"""
_COPIED = re.compile(r'\s*COPY\s+"?([a-z_][a-z0-9_]*)"?\s*\((.*?)\)', re.IGNORECASE | re.DOTALL)


def record_validity(cursor: Any, statement: str) -> None:
    """Notes which shapes of the table that a COPY has filled are valid, in the open transaction."""
    import shapely

    found = _COPIED.match(statement)
    if found is None or "the_geom" not in found[2]:
        return
    cursor.execute(
        sql.SQL("SELECT DISTINCT md5(the_geom), the_geom FROM {} WHERE the_geom IS NOT NULL").format(
            sql.Identifier(found[1])
        )
    )
    noted = [
        (digest, bool(shapely.is_valid(shapely.from_wkb(shape, on_invalid="ignore"))))
        for digest, shape in cursor.fetchall()
    ]
    cursor.execute("RESET SESSION AUTHORIZATION")
    execute_values(cursor, "INSERT INTO cartodb.validity VALUES %s ON CONFLICT DO NOTHING", noted, page_size=1000)
