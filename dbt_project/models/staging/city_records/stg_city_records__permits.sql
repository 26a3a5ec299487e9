with

permits as (

    select * from {{ source('city_records', 'permits') }}

)

select
    permit_id,
    address_id,
    type,
    status,
    cost,
    applied_on,
    issued_at,
    updated_at,
    notes,
    _extract_id,
    _extracted_at
from permits
