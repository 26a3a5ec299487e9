with

programmes as (

    select * from {{ source('community_programmes', 'programmes') }}

)

select
    programme_id,
    created_at,
    name,
    category,
    audiences,
    neighborhood,
    partners,
    flyers,
    budget,
    seats,
    cost_per_seat,
    active,
    starts_on,
    updated_at,
    waitlist_from,
    _extract_id,
    _extracted_at
from programmes
