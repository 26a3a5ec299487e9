with

sessions as (

    select * from {{ source('community_grants', 'sessions') }}

)

select
    session_id,
    grants,
    held_at,
    people,
    notes,
    _extract_id,
    _extracted_at
from sessions
