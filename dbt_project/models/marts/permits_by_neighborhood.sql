with

permits as (

    select * from {{ ref('stg_city_records__permits') }}

),

addresses as (

    select * from {{ ref('stg_city_records__addresses') }}

),

placed as (

    -- A permit stays when the register drops its address.
    select
        permits.status,
        permits.cost,
        coalesce(addresses.neighborhood, 'unknown') as neighborhood
    from permits
    left join addresses on permits.address_id = addresses.address_id

)

select
    neighborhood,
    count(*)::number(18, 0) as permits,
    count_if(status in ('applied', 'issued'))::number(18, 0) as open_permits,
    coalesce(sum(cost), 0)::number(38, 2) as cost
from placed
group by neighborhood
