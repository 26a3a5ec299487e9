"""`data-platform doctor`: `command` runs the probes of `machine` and `connections`, which yield `finding`s."""
