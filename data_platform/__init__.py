"""A small data team's whole data platform on Dagster's assets."""
