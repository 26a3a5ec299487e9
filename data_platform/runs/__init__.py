"""How runs run: the launcher, the queue, sizes, storage, Dagster's instance, and runs whose process is gone.
What is made when belongs in `automation`."""
