"""Code from git: checkouts, the server that serves a branch's head from them, and how a run starts on its commit. No
Dagster: its code servers are processes that this package starts."""
