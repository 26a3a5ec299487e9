with

readings as (

    select * from {{ source('harbor_water', 'meter_readings') }}

)

select
    meter_id,
    read_at,
    {{ local_day('read_at') }} as local_day,
    litres,
    battery_mv,
    status,
    comment as remark,
    _extract_id,
    _delivery_id,
    _record_number,
    _extracted_at
from readings
