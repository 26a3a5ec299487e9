with

addresses as (

    select * from {{ ref('stg_city_records__addresses') }}

),

houses as (

    select
        neighborhood,
        count(*) as addresses
    from addresses
    group by neighborhood

),

assessments as (

    select
        coalesce(addresses.neighborhood, 'unknown') as neighborhood,
        sum(assessments.land_value + assessments.building_value) as assessed_value
    from {{ ref('stg_city_records__assessments') }} as assessments
    left join addresses on assessments.address_id = addresses.address_id
    group by coalesce(addresses.neighborhood, 'unknown')

),

permits as (

    select * from {{ ref('permits_by_neighborhood') }}

),

violations as (

    select
        coalesce(addresses.neighborhood, 'unknown') as neighborhood,
        count_if(violations.status = 'open') as open_violations
    from {{ ref('stg_city_records__violations') }} as violations
    left join addresses on violations.address_id = addresses.address_id
    group by coalesce(addresses.neighborhood, 'unknown')

),

requests as (

    select
        neighborhood,
        count(*) as service_requests,
        count_if(status = 'open') as open_service_requests
    from {{ ref('fct_service_requests') }}
    group by neighborhood

),

names as (

    select houses.neighborhood from houses
    union distinct
    select assessments.neighborhood from assessments
    union distinct
    select permits.neighborhood from permits
    union distinct
    select violations.neighborhood from violations
    union distinct
    select requests.neighborhood from requests

)

select
    names.neighborhood,
    coalesce(houses.addresses, 0)::number(18, 0) as addresses,
    coalesce(assessments.assessed_value, 0)::number(38, 2) as assessed_value,
    coalesce(permits.permits, 0)::number(18, 0) as permits,
    coalesce(violations.open_violations, 0)::number(18, 0) as open_violations,
    coalesce(requests.service_requests, 0)::number(18, 0) as service_requests,
    coalesce(requests.open_service_requests, 0)::number(18, 0) as open_service_requests
from names
left join houses on names.neighborhood = houses.neighborhood
left join assessments on names.neighborhood = assessments.neighborhood
left join permits on names.neighborhood = permits.neighborhood
left join violations on names.neighborhood = violations.neighborhood
left join requests on names.neighborhood = requests.neighborhood
