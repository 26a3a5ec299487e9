"""Deliveries: which file is what, decode, validate, settle. Plain Python; imports no Dagster."""
