with

service_requests as (

    select * from {{ source('address_search', 'service_requests') }}

)

select
    address,
    status,
    reason,
    matched_address,
    latitude,
    longitude,
    location,
    precision,
    asked_at,
    _extract_id,
    _extracted_at
from service_requests
