"""dbt's side of the platform: the sources that contracts declare, the manifest, what dbt runs with. No Dagster."""
