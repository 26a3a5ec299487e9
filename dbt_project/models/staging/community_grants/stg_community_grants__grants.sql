with

grants as (

    select * from {{ source('community_grants', 'grants') }}

)

select
    grant_id,
    title,
    programme_id,
    amount,
    status,
    applied_at,
    decided_on,
    purposes,
    final_report,
    _extract_id,
    _extracted_at
from grants
