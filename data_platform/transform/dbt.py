"""`python -P -m data_platform.transform.dbt <arguments>`: dbt, made safe from a deadlock at its start.

dbt begins by listing schemas in several threads at a time, whose first Arrow results come back together: just what
`warehouse.arrow_once` tells of. A dbt process that hung so would never end, nor would the run that waits for it.
"""

from __future__ import annotations

from data_platform.warehouse.arrow_once import read_one_arrow_result


def main() -> None:
    """dbt's command line. Exits as dbt does."""
    read_one_arrow_result()
    from dbt.cli.main import cli

    cli(prog_name="dbt")


if __name__ == "__main__":
    main()
