"""Loads extracts into Snowflake tables, each exactly once, and records them in the ledger. Imports no Dagster.

Functions take an open connection of snowflake-connector (`connection.connect`).
"""
