"""`python -P -m data_platform.transform.dbt <arguments>`: dbt, protected from two ways to hang forever.

- dbt begins by listing schemas in several threads, which read their first Arrow results at the same time and can
  deadlock: see `warehouse.arrow_once`.
- dbt-snowflake sets no time limit, so its sessions retry an unanswered request forever.
"""

from __future__ import annotations


def prepare() -> None:
    """Applies both protections. Call it before dbt opens sessions. The connector has a single limit for a statement and
    for retrying its requests, so both get a statement's limit."""
    # Imported here, because the connector and its imports (pyarrow, pandas, boto3) take half a second.
    from snowflake.connector.connection import DEFAULT_CONFIGURATION

    from data_platform.warehouse.arrow_once import read_one_arrow_result
    from data_platform.warehouse.connection import STATEMENT_SECONDS

    read_one_arrow_result()
    DEFAULT_CONFIGURATION["network_timeout"] = (STATEMENT_SECONDS, (type(None), int))


def main() -> None:
    """Runs dbt's command line. Exits with dbt's exit code."""
    prepare()
    from dbt.cli.main import cli

    cli(prog_name="dbt")


if __name__ == "__main__":
    main()
