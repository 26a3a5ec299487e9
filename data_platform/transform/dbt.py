"""`python -P -m data_platform.transform.dbt <arguments>`: dbt, made safe from standing still for ever.

dbt begins by listing schemas in several threads at a time, whose first Arrow results come back together: just what
`warehouse.arrow_once` tells of. And its sessions send a request that gets no answer again without end, for
dbt-snowflake gives them no limit. A dbt process that hung so would never end, nor would the run that waits for it.
"""

from __future__ import annotations


def prepare() -> None:
    """Makes this process fit for dbt's adapter: before its threads read results, and its sessions are opened. The
    connector has one limit for a statement and for a request that is sent again."""
    # The connector and what it brings (pyarrow, pandas, boto3) take half a second: not in every process of Dagster's.
    from snowflake.connector.connection import DEFAULT_CONFIGURATION

    from data_platform.warehouse.arrow_once import read_one_arrow_result
    from data_platform.warehouse.connection import STATEMENT_SECONDS

    read_one_arrow_result()
    DEFAULT_CONFIGURATION["network_timeout"] = (STATEMENT_SECONDS, (type(None), int))


def main() -> None:
    """dbt's command line. Exits as dbt does."""
    prepare()
    from dbt.cli.main import cli

    cli(prog_name="dbt")


if __name__ == "__main__":
    main()
