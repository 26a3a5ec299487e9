"""`python -m data_platform.cli.doctor.deep.in_task KEY`: what a run's task proves about itself, with the run's image,
roles, secrets and network. Writes its findings as JSON to KEY in the lake, below extracts/, where runs write."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict

from data_platform.cli.doctor.deep.buckets import conditional_put, missing_key
from data_platform.cli.doctor.finding import Finding
from data_platform.environment import Settings, settings


def main(key: str) -> None:
    """Finds and writes. Fails if the findings can't be written."""
    import obstore

    from data_platform.lake.store import open_bucket

    given = settings().require_endpoints()
    findings = list(found_here(given, key))
    text = json.dumps([asdict(finding) for finding in findings])
    obstore.put(open_bucket(given, given.lake_bucket), key, text.encode())
    sys.stdout.write(text + "\n")


def found_here(given: Settings, key: str) -> Iterator[Finding]:
    """Each finding of a task; a probe that fails doesn't hide the next."""
    from data_platform.lake.store import open_bucket
    from data_platform.warehouse.connection import connect

    lake = open_bucket(given, given.lake_bucket)
    bucket = f"lake s3://{given.lake_bucket}"

    def signed_in(as_user: Settings) -> Finding:
        connect(as_user, query_tag="data-platform doctor --deep").close()
        return Finding(f"signs in as {as_user.snowflake.user}", "ok", "with the secret that the task got")

    def writes_its_disk() -> Finding:
        with tempfile.TemporaryFile() as file:
            file.write(b"probe")
        return Finding("writes to its disk", "ok", tempfile.gettempdir())

    probes: tuple[tuple[str, Callable[[], Finding]], ...] = (
        ("conditional put", lambda: conditional_put(lake, f"{key}.put", bucket)),
        ("missing key", lambda: missing_key(lake, f"{key}.missing", bucket)),
        ("its disk", writes_its_disk),
        ("Snowflake", lambda: signed_in(given)),
        ("Snowflake for dbt", lambda: signed_in(given.as_dbt())),
    )
    for what, probe in probes:
        try:
            yield probe()
        except Exception as error:
            line = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
            yield Finding(what, "failed", line, "look at the run's role, secrets and network")


if __name__ == "__main__":
    main(sys.argv[1])
