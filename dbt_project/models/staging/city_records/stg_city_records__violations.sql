with

violations as (

    select * from {{ source('city_records', 'violations') }}

)

select
    violation_id,
    address_id,
    code,
    status,
    fine,
    found_on,
    closed_at,
    updated_at,
    _extract_id,
    _extracted_at
from violations
