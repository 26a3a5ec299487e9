{#- A comment that QUERY_HISTORY shows with a statement: the node and the dbt run. -#}
{% macro query_comment(node) -%}
    {{ tojson({
        "app": "dbt",
        "node": node.unique_id if node is not none else none,
        "invocation_id": invocation_id,
    }) }}
{%- endmacro %}
