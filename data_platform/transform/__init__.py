"""dbt's side of the platform: the sources that contracts declare, the manifest, dbt's environment. No Dagster."""
