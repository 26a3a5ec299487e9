{#- A model's schema is the one its folder names (STAGING, INTERMEDIATE, MARTS, SNAPSHOTS), not a suffix of the
    target's: the environment is the database, and every database has the same schemas. -#}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ (custom_schema_name or target.schema) | trim | upper }}
{%- endmacro %}
