with

city as (

    select
        coalesce(sum(parking_sessions), 0) as sessions,
        coalesce(sum(parking_revenue), 0) as revenue
    from {{ ref('city_daily') }}

),

parking as (

    select
        coalesce(sum(sessions), 0) as sessions,
        coalesce(sum(revenue), 0) as revenue
    from {{ ref('fct_parking_daily') }}

)

select
    city.sessions as city_sessions,
    parking.sessions as parking_sessions,
    city.revenue as city_revenue,
    parking.revenue as parking_revenue
from city
cross join parking
where city.sessions != parking.sessions or city.revenue != parking.revenue
