"""What the platform costs: `make bench`. Each benchmark compares it with a peer in the same run.

One module per benchmark, with `run(options) -> dict`. docs/benchmarks.md has the figures of the last full run.
"""
