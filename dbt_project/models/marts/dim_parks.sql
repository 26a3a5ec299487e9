with

parks as (

    select * from {{ ref('stg_city_records__parks') }}

)

select
    park_id,
    name,
    kind,
    hectares,
    shape
from parks
