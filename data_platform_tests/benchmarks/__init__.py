"""What the platform costs, each a ratio within one run: `make bench`, or `python -m data_platform_tests.benchmarks`.

One module a benchmark, with `run(options) -> dict`; figures of the last full run are in docs/benchmarks.md.
"""
