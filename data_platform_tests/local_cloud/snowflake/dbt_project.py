"""A small dbt project that uses what the platform's models use, as files; written to a folder by a test."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

FILES = {
    "dbt_project.yml": """
        name: contract
        version: "1.0"
        profile: contract
        model-paths: [models]
        seed-paths: [seeds]
        snapshot-paths: [snapshots]
        models:
          contract:
            +persist_docs: {relation: true, columns: true}
        """,
    "seeds/cities.csv": """
        city_id,name,founded,area,is_port
        1,Port Meridian,1802-05-06,12.50,true
        2,O'Hara,1899-01-31,3.25,false
        3,Tarn,,0.75,false
        """,
    "models/sources.yml": """
        version: 2
        sources:
          - name: raw
            schema: RAW_CONTRACT
            freshness: {warn_after: {count: 1, period: day}}
            loaded_at_field: _EXTRACTED_AT
            tables:
              - name: readings
        """,
    "models/schema.yml": """
        version: 2
        models:
          - name: stg_readings
            description: "The partner's readings; it's a view"
            columns:
              - name: reading_id
                description: "The reading's id"
                data_tests: [not_null, unique]
              - name: city_id
                data_tests:
                  - relationships:
                      arguments: {to: ref('cities'), field: city_id}
              - name: status
                data_tests:
                  - accepted_values:
                      arguments: {values: ['ok', 'late']}
          - name: latest_readings
            columns:
              - name: reading_id
                data_tests: [not_null, unique]
          - name: daily
            config: {contract: {enforced: true}}
            columns:
              - {name: city_id, data_type: number}
              - {name: day, data_type: date}
              - {name: total, data_type: "number(38,3)"}
        """,
    "models/stg_readings.sql": """
        select reading_id, city_id, status, amount, _extracted_at, updated_at
        from {{ source('raw', 'readings') }}
        """,
    "models/daily.sql": """
        {{ config(materialized='table', cluster_by=['day']) }}
        select city_id::number as city_id, date_trunc('day', updated_at)::date as day, sum(amount)::number(38,3) as total
        from {{ ref('stg_readings') }} group by 1, 2
        """,  # noqa: E501
    "models/latest_readings.sql": """
        {{ config(materialized='incremental', unique_key='reading_id', incremental_strategy='merge',
                  on_schema_change='append_new_columns', merge_exclude_columns=['first_seen'], query_tag='contract') }}
        select reading_id, status, amount, updated_at, current_timestamp() as first_seen
        from {{ ref('stg_readings') }}
        {% if is_incremental() %} where updated_at >= (select max(updated_at) from {{ this }}) {% endif %}
        """,
    "models/replaced_readings.sql": """
        {{ config(materialized='incremental', unique_key=['city_id', 'reading_id'], incremental_strategy='delete+insert') }}
        select city_id, reading_id, amount from {{ ref('stg_readings') }}
        """,  # noqa: E501
    "models/appended_readings.sql": """
        {{ config(materialized='incremental', incremental_strategy='append') }}
        select reading_id from {{ ref('stg_readings') }}
        """,
    "models/of_no_zone.sql": """
        {{ config(materialized='table') }}
        select '2026-01-01 00:00:00'::timestamp_tz as midnight
        """,
    "snapshots/by_timestamp.yml": """
        snapshots:
          - name: readings_by_timestamp
            relation: ref('stg_readings')
            config: {schema: snapshots, unique_key: reading_id, strategy: timestamp, updated_at: updated_at}
        """,
    "snapshots/by_check.yml": """
        snapshots:
          - name: readings_by_check
            relation: ref('stg_readings')
            config:
              schema: snapshots
              unique_key: reading_id
              strategy: check
              check_cols: [status, amount]
              hard_deletes: invalidate
        """,
}


def write_project(folder: Path, profile: dict[str, object]) -> None:
    """Write the project and its profile (keyword arguments of the connector, in dbt's names)."""
    lines = ["contract:", "  target: local", "  outputs:", "    local:", "      type: snowflake", "      threads: 4"]
    lines += [f"      {name}: {value}" for name, value in profile.items()]
    for path, text in {**FILES, "profiles.yml": "\n".join(lines) + "\n"}.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(dedent(text).lstrip())
