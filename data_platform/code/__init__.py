"""Code from git: checkouts, and the code server that serves a branch's head from them. No Dagster is imported: its own
code servers are processes that this package starts."""
