"""The statements that publish a dataset in CARTO's PostgreSQL. Each may run again: a request whose answer is lost is
sent again.

Two tables change names, in one transaction, so readers wait for milliseconds whatever the size, and a statement limit
doesn't matter. TRUNCATE and INSERT would keep dependents by themselves, but would lock readers out while all rows are
written and indexed, need a copy of the version before, and couldn't change columns. Views would follow the table that
was renamed, so the same transaction replaces each one's query by the text that it had before: CREATE OR REPLACE VIEW
keeps the view, its owner, its grants and whatever reads it. If a view can't read the new columns, the transaction fails
and everything is as it was.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from data_platform.publish.spec import CartoPublication

LOCK_TIMEOUT = "30s"
"""How long the swap waits for readers. Meanwhile, further readers wait behind it."""

_TYPES = {
    "int64": "bigint",
    "double": "double precision",
    "bool": "boolean",
    "date32[day]": "date",
    "string": "text",
    "time64[us]": "time",
    "timestamp[us]": "timestamp",
    "timestamp[us, tz=UTC]": "timestamptz",
}


def stage_of(dataset: str) -> str:
    """The table that is filled."""
    return f"{dataset}__stage"


def previous_of(dataset: str) -> str:
    """The version before."""
    return f"{dataset}__previous"


def state(dataset: str) -> str:
    """One row: whether the dataset and a stage are there, its stamp, and the stamp of the version before."""
    return (
        f"SELECT to_regclass({literal(dataset)}) IS NOT NULL AS there,"
        f" to_regclass({literal(stage_of(dataset))}) IS NOT NULL AS left_over,"
        f" to_regclass({literal(previous_of(dataset))}) IS NOT NULL AS has_previous,"
        f" obj_description(to_regclass({literal(dataset)}), 'pg_class') AS stamp,"
        f" obj_description(to_regclass({literal(previous_of(dataset))}), 'pg_class') AS previous"
    )


def count(table: str) -> str:
    """One row: `rows`."""
    return f"SELECT count(*) AS rows FROM {identifier(table)}"


def drop(table: str) -> str:
    """Drops a table that may be there."""
    return f"DROP TABLE IF EXISTS {identifier(table)}"


def create(dataset: str, columns: pa.Schema) -> str:
    """Makes an empty stage that CARTO's maps can read, in place of one that is left over: with cartodb_id, the
    geometries, their indexes and triggers
    (https://carto.com/developers/sql-api/guides/copy-queries). Before the rows come: afterwards, CARTO would write the
    whole table once more under its limit for statements; COPY may take five hours."""
    stage = stage_of(dataset)
    body = ", ".join(["the_geom geometry", *(f"{identifier(each.name)} {_type(each.type)}" for each in columns)])
    return (
        f"{drop(stage)}; CREATE TABLE {identifier(stage)} ({body});"
        f" SELECT CDB_CartodbfyTable(current_schema()::text, {literal(stage)}::regclass)"
    )


def copy(dataset: str, columns: pa.Schema, *, with_geometry: bool) -> str:
    """Fills the stage."""
    names = [*(identifier(name) for name in columns.names), *(["the_geom"] if with_geometry else [])]
    return f"COPY {identifier(stage_of(dataset))} ({', '.join(names)}) FROM STDIN WITH (FORMAT text)"


def index(dataset: str, column: str) -> str:
    """Indexes a column of the stage, unless it is done."""
    stage = stage_of(dataset)
    return (
        "DO $index$ BEGIN IF NOT EXISTS (SELECT FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum ="
        f" indkey[0] WHERE indrelid = {literal(stage)}::regclass AND attname = {literal(column)})"
        f" THEN CREATE INDEX ON {identifier(stage)} ({identifier(column)}); END IF; END $index$"
    )


def gates(dataset: str) -> str:
    """One row: how many rows the stage has, with shapes, with shapes that aren't valid, and with another SRID."""
    return (
        "SELECT count(*) AS rows, count(the_geom) AS shapes,"
        " count(*) FILTER (WHERE the_geom IS NOT NULL AND NOT ST_IsValid(the_geom)) AS invalid,"
        " count(*) FILTER (WHERE the_geom IS NOT NULL AND ST_SRID(the_geom) <> 4326) AS elsewhere"
        f" FROM {identifier(stage_of(dataset))}"
    )


def publish(dataset: str, publication: CartoPublication, stamp: str) -> str:
    """The stage becomes the dataset, the dataset becomes the version before, and the one before that goes."""
    return _swap(dataset, publication.select_users, stamp, drop(previous_of(dataset)))


def roll_back(dataset: str, publication: CartoPublication, stamp: str) -> str:
    """The dataset and the version before change places."""
    previous, stage = previous_of(dataset), stage_of(dataset)
    first = f"{drop(stage)}; ALTER TABLE {identifier(previous)} RENAME TO {identifier(stage)}"
    return _swap(dataset, publication.select_users, stamp, first)


def _swap(dataset: str, users: Sequence[str], stamp: str, first: str) -> str:
    """One statement, and so one transaction. Does nothing if the dataset has the stamp already."""
    table, stage, previous = (identifier(name) for name in (dataset, stage_of(dataset), previous_of(dataset)))
    listed = ", ".join(identifier(user) for user in users)
    revoke = f"IF to_regclass({literal(previous_of(dataset))}) IS NOT NULL THEN REVOKE ALL ON {previous} FROM {listed};"
    grants = f"{revoke} END IF; GRANT SELECT ON {table} TO {listed};" if users else ""
    return f"""DO $swap$
DECLARE
    dataset regclass := to_regclass({literal(dataset)});
    reader record;
    views text[];
BEGIN
    IF obj_description(dataset, 'pg_class') = {literal(stamp)} THEN
        RETURN;
    END IF;
    PERFORM set_config('lock_timeout', '{LOCK_TIMEOUT}', true);
    IF dataset IS NOT NULL THEN
        LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE;
        SELECT c.relname, n.nspname INTO reader FROM pg_depend d JOIN pg_rewrite w ON w.oid = d.objid
            JOIN pg_class c ON c.oid = w.ev_class JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE d.classid = 'pg_rewrite'::regclass AND d.refobjid = dataset AND c.relkind = 'm' LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'the materialized view %.% reads {dataset} and would go on reading the version before',
                reader.nspname, reader.relname USING HINT = 'Drop it, or make it a view.';
        END IF;
        SELECT c.conname, c.conrelid::regclass AS place INTO reader FROM pg_constraint c
            WHERE c.confrelid = dataset AND c.conrelid <> dataset LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'the foreign key % of % refers to {dataset} and would refer to the version before',
                reader.conname, reader.place USING HINT = 'Drop it.';
        END IF;
        SELECT array_agg(format('CREATE OR REPLACE VIEW %I.%I%s AS %s', v.nspname, v.relname,
                ' WITH (' || array_to_string(v.reloptions, ', ') || ')', pg_get_viewdef(v.oid))) INTO views
            FROM (SELECT DISTINCT c.oid, n.nspname, c.relname, c.reloptions FROM pg_depend d
                JOIN pg_rewrite w ON w.oid = d.objid JOIN pg_class c ON c.oid = w.ev_class
                JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE d.classid = 'pg_rewrite'::regclass AND d.refobjid = dataset AND c.relkind = 'v') v;
    END IF;
    {first};
    IF dataset IS NOT NULL THEN
        ALTER TABLE {table} RENAME TO {previous};
    END IF;
    ALTER TABLE {stage} RENAME TO {table};
    FOR place IN 1..coalesce(array_length(views, 1), 0) LOOP
        EXECUTE views[place];
    END LOOP;
    {grants}
    COMMENT ON TABLE {table} IS {literal(stamp)};
END $swap$"""


def identifier(name: str) -> str:
    """The name, quoted."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """The text as a constant. Doubles quotes; standard_conforming_strings, PostgreSQL's default, leaves backslashes
    alone. A dollar sign can't end a block: it is written as an escape."""
    if "$" in text:
        return " E'" + text.replace("\\", "\\\\").replace("'", "''").replace("$", "\\044") + "'"
    return "'" + text.replace("'", "''") + "'"


def _type(kind: pa.DataType) -> str:
    if pa.types.is_decimal(kind):
        return f"numeric({kind.precision},{kind.scale})"
    return _TYPES[str(kind)]
