"""`python -P -m data_platform.transform.dbt <arguments>`: dbt in UTC, protected from two ways to hang.

- dbt begins by listing schemas in several threads, which read their first Arrow results at the same time and can
  deadlock: see `warehouse.arrow_once`.
- dbt-snowflake sets no time limit, so its sessions retry an unanswered request forever.

A profile has no place for a session's time zone, and a hook reaches the session of one thread only.
"""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

from data_platform.transform.process import AHEAD

if TYPE_CHECKING:
    from dbt.contracts.graph.manifest import Manifest


def prepare() -> None:
    """Applies both protections and the time zone. Call it before dbt opens sessions. The connector has a single limit
    for a statement and for retrying its requests, so both get a statement's limit."""
    # Imported here, because the connector and its imports (pyarrow, pandas, boto3) take half a second.
    from snowflake.connector.connection import DEFAULT_CONFIGURATION

    from data_platform.warehouse.arrow_once import read_one_arrow_result
    from data_platform.warehouse.connection import SESSION_PARAMETERS, STATEMENT_SECONDS

    read_one_arrow_result()
    DEFAULT_CONFIGURATION["network_timeout"] = (STATEMENT_SECONDS, (type(None), int))
    DEFAULT_CONFIGURATION["timezone"] = (SESSION_PARAMETERS["TIMEZONE"], (type(None), str))


def main() -> None:
    """Runs dbt's command line. Exits with dbt's exit code."""
    prepare()
    arguments, parsed = sys.argv[1:], None
    if arguments == [AHEAD]:
        parsed, arguments = _parse_and_wait()
    from dbt.cli.main import cli

    cli(arguments, prog_name="dbt", obj={"manifest": parsed})


def _parse_and_wait() -> tuple[Manifest | None, list[str]]:
    """Parses the project, and waits for the command that comes on stdin (see `transform.ahead`). If the project can't
    be parsed, the command parses it again and reports why."""
    from dbt.cli.main import dbtRunner
    from dbt_common.events.functions import reset_metadata_vars

    parsed: Any = dbtRunner().invoke(["--quiet", "parse"])
    text = sys.stdin.read()
    if not text:  # the process that started this one has ended
        sys.exit()
    asked = json.loads(text)
    os.environ.clear()
    os.environ.update(asked["environment"])
    reset_metadata_vars()
    return parsed.result if parsed.success else None, asked["arguments"]


if __name__ == "__main__":
    main()
