with

measurements as (

    select * from {{ ref('stg_clear_air__air_quality') }}

)

select
    station_id,
    local_day,
    round(avg(pm25), 3)::number(9, 3) as pm25_mean,
    max(pm25)::number(6, 2) as pm25_max,
    count(pm25)::number(18, 0) as measurements
from measurements
group by station_id, local_day
