with

measurements as (

    -- measured_at is the end of the ten minutes: the last of a day end at midnight
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
