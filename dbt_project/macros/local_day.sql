{#- The city's time zone, an IANA name: the variable if given, else the platform's setting. -#}
{% macro time_zone() -%}
    {{ var('time_zone', env_var('DATA_PLATFORM_TIME_ZONE', 'America/New_York')) }}
{%- endmacro %}

{#- The day in the city at an instant (TIMESTAMP_TZ). A day has 23, 24 or 25 hours: Snowflake knows the rules of an
    IANA zone, and the date of a TIMESTAMP_TZ is that of its own offset. -#}
{% macro local_day(instant) -%}
    to_date(convert_timezone('{{ time_zone() }}', {{ instant }}))
{%- endmacro %}
