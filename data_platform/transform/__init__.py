"""dbt: generates its sources from contracts, builds the manifest, and starts dbt processes. Imports no Dagster."""
