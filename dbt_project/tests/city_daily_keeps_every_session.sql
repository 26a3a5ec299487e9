with

city as (

    select
        coalesce(sum(parking_sessions), 0) as sessions,
        coalesce(sum(parking_revenue), 0) as revenue
    from {{ ref('city_daily') }}

),

staged as (

    select
        count(*) as sessions,
        coalesce(sum(fee), 0) as revenue
    from {{ ref('stg_meridian_parking__parking_sessions') }}

)

select
    city.sessions as city_sessions,
    staged.sessions as staged_sessions,
    city.revenue as city_revenue,
    staged.revenue as staged_revenue
from city
cross join staged
where city.sessions != staged.sessions or city.revenue != staged.revenue
