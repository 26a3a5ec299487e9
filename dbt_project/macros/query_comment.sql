{#- What QUERY_HISTORY shows of a statement: which node ran it, in which run of dbt. -#}
{% macro query_comment(node) -%}
    {{ tojson({
        "app": "dbt",
        "node": node.unique_id if node is not none else none,
        "invocation_id": invocation_id,
    }) }}
{%- endmacro %}
