with

parks as (

    select * from {{ source('city_records', 'parks') }}

)

select
    park_id,
    name,
    kind,
    hectares,
    shape,
    _extract_id,
    _extracted_at
from parks
