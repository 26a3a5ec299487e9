with

sessions as (

    select * from {{ ref('stg_meridian_parking__parking_sessions') }}

)

select
    local_day,
    zone,
    count(*)::number(18, 0) as sessions,
    coalesce(sum(fee), 0)::number(38, 2) as revenue
from sessions
group by local_day, zone
