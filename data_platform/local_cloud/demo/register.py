"""Writes the city's register to its database, as the clerks who own it do: all rows of a wave, in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import psycopg2
from psycopg2 import sql

from data_platform.local_cloud.demo.key import TableState

SCHEMA = "register"
_TABLES = f"""
CREATE TABLE IF NOT EXISTS {SCHEMA}.addresses (
    address_id bigint PRIMARY KEY,
    street text NOT NULL,
    house_number text NOT NULL,
    unit text,
    neighborhood text,
    latitude numeric(9,6),
    longitude numeric(9,6)
);
CREATE TABLE IF NOT EXISTS {SCHEMA}.permits (
    permit_id text PRIMARY KEY,
    address_id bigint NOT NULL,
    type text NOT NULL,
    status text,
    cost numeric(12,2),
    applied_on date NOT NULL,
    issued_at timestamptz,
    updated_at timestamptz NOT NULL,
    notes text
);
CREATE TABLE IF NOT EXISTS {SCHEMA}.violations (
    violation_id text PRIMARY KEY,
    address_id bigint NOT NULL,
    code text NOT NULL,
    status text,
    fine numeric(10,2),
    found_on date NOT NULL,
    closed_at timestamptz,
    updated_at timestamptz NOT NULL
);
CREATE TABLE IF NOT EXISTS {SCHEMA}.service_requests (
    request_id bigint PRIMARY KEY,
    subject text,
    status text NOT NULL,
    address text,
    opened_at timestamptz NOT NULL,
    closed_at timestamptz,
    updated_at timestamptz NOT NULL
);
CREATE TABLE IF NOT EXISTS {SCHEMA}.assessments (
    parcel text PRIMARY KEY,
    address_id bigint NOT NULL,
    tax_year integer NOT NULL,
    land_value numeric(14,2) NOT NULL,
    building_value numeric(14,2) NOT NULL,
    assessed_on date NOT NULL
);
CREATE TABLE IF NOT EXISTS {SCHEMA}.parks (
    park_id integer PRIMARY KEY,
    name text NOT NULL,
    kind text NOT NULL,
    hectares numeric(8,1) NOT NULL,
    shape bytea NOT NULL
);
"""


def write_states(states: Sequence[TableState], folder: Path, url: str) -> None:
    """Gives each table the rows of its state, and no others. `url` signs in as the owner. Writing the same again
    changes nothing. Raises psycopg2.Error."""
    connection = psycopg2.connect(url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(_TABLES)
            for state in states:
                table = sql.Identifier(SCHEMA, state.table)
                # Not TRUNCATE: a read that has begun would find the table empty.
                cursor.execute(sql.SQL("DELETE FROM {}").format(table))
                with (folder / state.path).open("rb") as rows:
                    cursor.copy_expert(sql.SQL("COPY {} FROM STDIN").format(table), rows)
                cursor.execute(sql.SQL("ANALYZE {}").format(table))
    finally:
        connection.close()
