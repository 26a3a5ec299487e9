"""What the platform costs, each benchmark a ratio within one run: `make bench`.

One module per benchmark, with `run(options) -> dict`. docs/benchmarks.md has the figures of the last full run.
"""
