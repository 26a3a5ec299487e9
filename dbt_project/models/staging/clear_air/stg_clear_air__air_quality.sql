with

measurements as (

    select * from {{ source('clear_air', 'air_quality') }}

)

select
    station_id,
    measured_at,
    -- measured_at ends the ten minutes: those that end at midnight are the day's before
    {{ local_day("dateadd('minute', -10, measured_at)") }} as local_day,
    pm25,
    pm10,
    no2,
    humidity,
    _extract_id,
    _delivery_id,
    _record_number,
    _extracted_at
from measurements
