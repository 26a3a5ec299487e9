"""Snowflake -> where the public and other teams read. No Dagster."""
