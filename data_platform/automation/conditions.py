"""When a dbt model is due: the automation conditions that let models follow the tables they read.

Conditions only; what evaluates them, and how often, is in `assembly.py`.
"""

from __future__ import annotations

from typing import Any

import dagster as dg


def follows_its_tables() -> dg.AutomationCondition[Any]:
    """Due when something it reads has new data since it was last asked for, and

    - every dependency has data (of a partitioned raw table, one partition is enough),
    - no dependency is being written, and neither is the model itself,
    - every dependency has passed its blocking checks, or is rebuilt in the same run, where dbt itself skips what
      follows a failed test.

    What is asked for once is not asked for again, so a run that fails isn't repeated on every tick; the next update
    of any dependency asks again, for all that follows from it. An update that comes while the model is being built
    is remembered: only asking, not finishing, settles it.
    """
    condition = dg.AutomationCondition
    # The first time, there is data that no tick saw coming.
    news = condition.newly_missing() | condition.any_deps_updated()
    # newly_requested tells of the tick before, so news that this tick sees came after it; plain `since` would take
    # the request to have settled that too, and lose what was loaded between the two ticks.
    due = news.since(condition.newly_requested() & ~news)
    trusted = condition.all_deps_match(
        condition.will_be_requested() | condition.all_checks_match(condition.check_passed(), blocking_only=True)
    ).with_label("dependencies_passed_their_blocking_checks")
    return (
        due.with_label("new_data_since_last_asked_for")
        & has_data()
        & ~condition.any_deps_in_progress()
        & ~condition.in_progress()
        & trusted
    ).with_label("follows_its_tables")


def has_data() -> dg.AutomationCondition[Any]:
    """Every dependency has data. A raw table is partitioned by day and never has all its days; those of its days that
    are missing don't count, as long as one is there."""
    condition = dg.AutomationCondition
    raw = dg.AssetSelection.key_prefixes(["raw"])
    there = ~condition.missing() | condition.will_be_requested()
    return (condition.any_deps_match(there) & condition.all_deps_match(there).ignore(raw)).with_label(
        "dependencies_have_data"
    )
