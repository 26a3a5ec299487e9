"""A local stand-in for Snowflake: fakesnow on a file-backed DuckDB, behind our own server and dialect.

The platform talks to it through the real Snowflake connector, so nothing here is an API: each statement must do what
Snowflake documents. `server` is the process; imports run from `protocol` to `engine` to `dialect`.
"""
