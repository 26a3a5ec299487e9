"""What is given to any program: the variables that a child process may be handed without a second thought.

Only the standard library is imported, as every container's start comes by here; settings are `environment`'s.
"""

from __future__ import annotations

import os

_MACHINE = frozenset(
    (
        *("PATH", "HOME", "USER", "TMPDIR", "TEMP", "TMP", "LANG", "LC_ALL", "TZ", "SYSTEMROOT", "LD_LIBRARY_PATH"),
        *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"),
    )
)


DAGSTER_VARIABLES = {
    # Dagster's warnings of its own beta features are hundreds of lines a log.
    "PYTHONWARNINGS": "ignore",
    # Else an event that is being stored just as the automation tick looks is passed over for good, and models don't
    # follow it (seen in 1.13.27): the tick waits so many seconds first.
    "DAGSTER_AUTOMATION_TICK_SETTLE_SECONDS": "2",
}
"""What Dagster's own processes are given, wherever they are started."""


def machine_environment(*also: str) -> dict[str, str]:
    """The variables that any program needs of its machine: where programs, homes and certificates are, its
    language and its proxies, and those named. A child that is given these, and not all, inherits no secret by
    accident."""
    return {name: value for name, value in os.environ.items() if name.upper() in _MACHINE or name in also}
