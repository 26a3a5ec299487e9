"""Which commits a run is of: metadata of what it materializes."""

from __future__ import annotations

from data_platform.environment import settings


def commits() -> dict[str, str]:
    """The commit of the code, and of the dbt project, where they are known: code that a code server, or a run's start,
    has checked out. Nothing for a working copy."""
    known = {"code_commit": settings().code.commit, "dbt_commit": settings().dbt_code.commit}
    return {name: commit for name, commit in known.items() if commit}
