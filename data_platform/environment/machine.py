"""The variables that any program needs of its machine. The platform's settings are not among them."""

from __future__ import annotations

import os

_MACHINE = frozenset(
    (
        *("PATH", "HOME", "USER", "TMPDIR", "TEMP", "TMP", "LANG", "LC_ALL", "TZ", "SYSTEMROOT", "LD_LIBRARY_PATH"),
        *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"),
    )
)


def machine_environment(*also: str) -> dict[str, str]:
    """The variables of programs, home, language, proxies and certificates, and those named in `also`. A child process
    that gets these, instead of the whole environment, inherits no secret by accident."""
    return {name: value for name, value in os.environ.items() if name.upper() in _MACHINE or name in also}
