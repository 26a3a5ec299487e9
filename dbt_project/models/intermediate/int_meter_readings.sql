{#- The readings of all loaded deliveries, one per meter and instant; the latest delivery wins.

    New extracts are found by comparing extract ids, not by a high-water mark: extracts commit in any order, so an older
    one can arrive after a newer one was loaded, and a superseded delivery's rows leave raw. The model builds the days
    that either touches again from all rows of those days in raw; the post-hook then deletes rows that only a
    superseded delivery had. -#}
{{
    config(
        materialized='incremental',
        incremental_strategy='merge',
        unique_key=['meter_id', 'read_at'],
        on_schema_change='fail',
        post_hook="{{ delete_withdrawn_extracts(ref('stg_harbor_water__meter_readings')) }}",
    )
}}

with

readings as (

    select * from {{ ref('stg_harbor_water__meter_readings') }}

),

{% if is_incremental() %}
changed_days as (

    select readings.local_day
    from readings
    where readings._extract_id not in (select taken_in._extract_id from {{ this }} as taken_in)

    union distinct

    select taken_in.local_day
    from {{ this }} as taken_in
    where taken_in._extract_id not in (select readings._extract_id from readings)

),
{% endif %}

latest as (

    select *
    from readings
    {% if is_incremental() %}
    where local_day in (select changed_days.local_day from changed_days)
    {% endif %}
    qualify
        row_number() over (
            partition by meter_id, read_at
            order by _extracted_at desc, _extract_id desc, _record_number desc
        ) = 1

)

select
    meter_id,
    read_at,
    local_day,
    litres,
    battery_mv,
    status,
    remark,
    _extract_id,
    _delivery_id,
    _extracted_at
from latest
