{#- A model's schema is named after its folder (STAGING, INTERMEDIATE, MARTS, SNAPSHOTS), without the target's prefix:
    each environment is a database, and every database has the same schemas. -#}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ (custom_schema_name or target.schema) | trim | upper }}
{%- endmacro %}
