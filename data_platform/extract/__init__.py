"""From any source to its tables: extracts are committed, loaded and accounted for in one way. Imports no Dagster."""
