with

measurements as (

    -- measured_at ends the ten minutes: those that end at midnight are of the day before
    select
        *,
        dateadd('minute', -10, measured_at) as began_at
    from {{ source('clear_air', 'air_quality') }}

)

select
    station_id,
    measured_at,
    {{ local_day('began_at') }} as local_day,
    pm25,
    pm10,
    no2,
    humidity,
    _extract_id,
    _delivery_id,
    _record_number,
    _extracted_at
from measurements
