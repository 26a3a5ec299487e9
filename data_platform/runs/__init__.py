"""How Dagster executes runs: the queue, task sizes, the launcher, the executor, the instance and its storage.
When assets are materialized belongs in `automation`."""
