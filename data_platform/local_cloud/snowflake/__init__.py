"""A local stand-in for Snowflake: fakesnow on a file-backed DuckDB, behind our own server and dialect.

Nothing but the CLI and tests imports this package. Production code talks to it through the real Snowflake
connector, so nothing here is an API: what counts is that a statement does here what Snowflake documents.
"""
