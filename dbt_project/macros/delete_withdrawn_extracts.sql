{#- Deletes from the model the rows of extracts that `staged` no longer has: a superseded delivery's. -#}
{% macro delete_withdrawn_extracts(staged) -%}
    delete from {{ this }}
    where _extract_id not in (select staged._extract_id from {{ staged }} as staged)
{%- endmacro %}
