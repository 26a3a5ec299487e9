"""Extracts into Snowflake tables, exactly once, and the ledger of it. Plain Python; imports no Dagster.

Every function takes an open snowflake-connector connection (`connection.connect`).
"""
