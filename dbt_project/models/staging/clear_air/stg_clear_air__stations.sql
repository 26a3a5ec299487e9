with

stations as (

    select * from {{ source('clear_air', 'stations') }}

)

select
    station_id,
    name,
    latitude,
    longitude,
    opened_on,
    active,
    _extract_id,
    _delivery_id,
    _record_number,
    _extracted_at
from stations
