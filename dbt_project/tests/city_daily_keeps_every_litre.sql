with

city as (

    select coalesce(sum(litres), 0) as litres from {{ ref('city_daily') }}

),

readings as (

    select coalesce(sum(litres), 0) as litres from {{ ref('int_meter_readings') }}

)

select
    city.litres as in_city_daily,
    readings.litres as in_readings
from city
cross join readings
where city.litres != readings.litres
