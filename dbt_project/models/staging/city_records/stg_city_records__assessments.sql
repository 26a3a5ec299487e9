with

assessments as (

    select * from {{ source('city_records', 'assessments') }}

)

select
    parcel,
    address_id,
    tax_year,
    land_value,
    building_value,
    assessed_on,
    _extract_id,
    _extracted_at
from assessments
