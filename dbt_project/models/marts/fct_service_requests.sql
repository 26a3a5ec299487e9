with

requests as (

    select * from {{ ref('stg_city_records__service_requests') }}

),

places as (

    select * from {{ ref('stg_address_search__service_requests') }}

),

houses as (

    -- One row per place: the flats of a house lie in one neighborhood.
    select
        latitude,
        longitude,
        min(neighborhood) as neighborhood
    from {{ ref('stg_city_records__addresses') }}
    group by latitude, longitude

),

stations as (

    select * from {{ ref('dim_stations') }}

),

distances as (

    select
        places.address,
        stations.station_id,
        -- Kilometres on a plane, which is exact enough within a city.
        sqrt(
            power((places.latitude - stations.latitude)::float * 111.2, 2)
            + power((places.longitude - stations.longitude)::float * 111.2 * cos(radians(places.latitude::float)), 2)
        ) as kilometres
    from places
    cross join stations
    where places.status = 'matched'

),

nearest as (

    select *
    from distances
    qualify row_number() over (partition by address order by kilometres, station_id) = 1

)

select
    requests.request_id,
    requests.subject,
    requests.status,
    requests.opened_at,
    requests.closed_at,
    {{ local_day('requests.opened_at') }} as local_day,
    places.status as geocode_status,
    coalesce(houses.neighborhood, 'unknown') as neighborhood,
    places.latitude,
    places.longitude,
    places.location,
    nearest.station_id,
    round(nearest.kilometres, 3)::number(9, 3) as station_kilometres
from requests
left join places on requests.address = places.address
left join houses on places.latitude = houses.latitude and places.longitude = houses.longitude
left join nearest on requests.address = nearest.address
