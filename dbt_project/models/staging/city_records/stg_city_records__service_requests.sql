with

service_requests as (

    select * from {{ source('city_records', 'service_requests') }}

)

select
    request_id,
    subject,
    status,
    address,
    opened_at,
    closed_at,
    updated_at,
    _extract_id,
    _extracted_at
from service_requests
