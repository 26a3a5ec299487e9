with

measurements as (

    select * from {{ source('clear_air', 'air_quality') }}

)

select
    station_id,
    measured_at,
    {{ local_day('measured_at') }} as local_day,
    pm25,
    pm10,
    no2,
    humidity,
    _extract_id,
    _delivery_id,
    _record_number,
    _extracted_at
from measurements
