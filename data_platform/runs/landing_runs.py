"""Whether Dagster knows anything of pending files, asked without Dagster: importing it takes longer than listing
thousands of files. What it knows is read by `automation.landing_history`."""

from __future__ import annotations

import psycopg2

LANDING_TAG = "data_platform/landing"
"""On every run that loads files."""
_MATTERS = """
    SELECT EXISTS (
        SELECT FROM runs JOIN run_tags USING (run_id)
        WHERE key = %s AND status <> 'SUCCESS' AND (
            status NOT IN ('FAILURE', 'CANCELED')
            OR runs.update_timestamp > now() AT TIME ZONE 'UTC' - interval '2 days'
        )
    )
"""


def landing_runs_matter(postgres_url: str) -> bool:
    """Whether a landing run is queued or at work, or has failed in the last two days. Dagster doesn't
    promise to keep its tables as they are, so in doubt the answer is yes."""
    try:
        connection = psycopg2.connect(postgres_url, connect_timeout=5)
    except psycopg2.Error:
        return True
    try:
        with connection.cursor() as cursor:
            cursor.execute(_MATTERS, (LANDING_TAG,))
            return bool(cursor.fetchall()[0][0])
    except psycopg2.Error:
        return True
    finally:
        connection.close()
