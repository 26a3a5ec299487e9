"""Snowflake's SQL as DuckDB's: functions of sqlglot trees, and the macros that they call. Knows no session."""
