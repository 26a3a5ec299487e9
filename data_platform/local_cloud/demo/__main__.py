"""`python -m data_platform.local_cloud.demo SIZE WAVE`: what `Demo.drop` runs. Prints its numbers."""

import sys

from data_platform.environment import settings
from data_platform.local_cloud.demo.day import Demo


def main() -> None:
    """Drops a wave of the demo's files."""
    size, wave = sys.argv[1:]
    demo = Demo(size, settings())
    demo.drop_here(int(wave), tell=lambda left: print(left, flush=True))  # noqa: T201


if __name__ == "__main__":
    main()
