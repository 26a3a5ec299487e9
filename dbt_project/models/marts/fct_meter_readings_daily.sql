with

readings as (

    select * from {{ ref('int_meter_readings') }}

)

select
    meter_id,
    local_day,
    sum(litres)::number(38, 3) as litres,
    count(*)::number(18, 0) as readings
from readings
group by meter_id, local_day
