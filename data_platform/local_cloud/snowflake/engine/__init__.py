"""Runs statements on DuckDB: sessions and their transactions, locks, tables, files, INFORMATION_SCHEMA. Knows no HTTP.
How Snowflake's SQL reads in DuckDB's words is `dialect`'s."""
