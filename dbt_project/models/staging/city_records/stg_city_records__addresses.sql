with

addresses as (

    select * from {{ source('city_records', 'addresses') }}

)

select
    address_id,
    street,
    house_number,
    unit,
    neighborhood,
    latitude,
    longitude,
    _extract_id,
    _extracted_at
from addresses
