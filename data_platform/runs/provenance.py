"""The commits of the code that a run executes, as metadata of its materializations."""

from __future__ import annotations

from data_platform.environment import settings


def commits() -> dict[str, str]:
    """The commits of the code and of the dbt project, if a code server or a run's start checked them out. Empty for a
    working copy."""
    known = {"code_commit": settings().code.commit, "dbt_commit": settings().dbt_code.commit}
    return {name: commit for name, commit in known.items() if commit}
