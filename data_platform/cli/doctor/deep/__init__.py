"""`data-platform doctor --deep`: proves what only a real account can show. It writes, so it works in places of its own,
and removes what it made.

`users`: what each user of Snowflake may do and must not; `copying`: every type's extremes through the stage; `buckets`:
S3's conditional put and missing keys; `task`: a task of ECS with a run's definition, which runs `in_task`.
`probes` lists them."""
