with

versions as (

    select * from {{ ref('stations_history') }}

),

latest as (

    select *
    from versions
    qualify row_number() over (partition by station_id order by dbt_valid_from desc) = 1

)

select
    station_id,
    name,
    latitude,
    longitude,
    opened_on,
    active,
    -- A station that left the list stays here: its measurements still refer to it.
    dbt_valid_to is null as listed
from latest
