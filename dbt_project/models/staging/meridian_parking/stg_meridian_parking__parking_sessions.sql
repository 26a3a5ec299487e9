with

sessions as (

    select * from {{ source('meridian_parking', 'parking_sessions') }}

)

select
    session_id,
    zone,
    started_at,
    ended_at,
    -- A session counts on the day it began, even if it ends after midnight.
    {{ local_day('started_at') }} as local_day,
    fee,
    electric,
    attributes,
    _extract_id,
    _delivery_id,
    _record_number,
    _extracted_at
from sessions
