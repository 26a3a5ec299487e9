with

water as (

    select
        local_day,
        sum(litres) as litres
    from {{ ref('fct_meter_readings_daily') }}
    group by local_day

),

parking as (

    select
        local_day,
        sum(sessions) as sessions,
        sum(revenue) as revenue
    from {{ ref('fct_parking_daily') }}
    group by local_day

),

air as (

    -- Over all measurements, not over the stations' means: a station out of service for hours weighs less.
    select
        local_day,
        avg(pm25) as pm25_mean
    from {{ ref('stg_clear_air__air_quality') }}
    group by local_day

),

days as (

    select water.local_day from water
    union distinct
    select parking.local_day from parking
    union distinct
    select air.local_day from air

)

select
    days.local_day,
    water.litres::number(38, 3) as litres,
    parking.sessions::number(18, 0) as parking_sessions,
    parking.revenue::number(38, 2) as parking_revenue,
    round(air.pm25_mean, 3)::number(9, 3) as pm25_mean
from days
left join water on days.local_day = water.local_day
left join parking on days.local_day = parking.local_day
left join air on days.local_day = air.local_day
