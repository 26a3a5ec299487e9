"""Committed extracts: Parquet parts and a manifest, written last. Plain Python; imports no Dagster."""
