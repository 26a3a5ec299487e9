{#- The city's time zone, an IANA name: the variable if given, else the platform's setting. -#}
{% macro time_zone() -%}
    {{ var('time_zone', env_var('DATA_PLATFORM_TIME_ZONE', 'America/New_York')) }}
{%- endmacro %}

{#- The city's day at an instant (TIMESTAMP_TZ). The conversion is needed because to_date uses the value's own offset;
    Snowflake knows the IANA zone's clock changes, so a day has 23, 24 or 25 hours. -#}
{% macro local_day(instant) -%}
    to_date(convert_timezone('{{ time_zone() }}', {{ instant }}))
{%- endmacro %}
