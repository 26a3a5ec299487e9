"""When to rebuild a dbt model: the automation conditions that make models follow the tables they read.

Conditions only. The sensor that evaluates them is in `assembly.py`.
"""

from __future__ import annotations

from typing import Any

import dagster as dg

_AGAIN = "*/10 * * * *"


def follows_its_tables() -> dg.AutomationCondition[Any]:
    """Requests the model when a dependency has new data since the last request, and

    - every dependency has data (one partition is enough for a partitioned raw table),
    - neither a dependency nor the model itself is being written,
    - every dependency has passed its blocking checks, or is rebuilt in the same run, where dbt itself skips the models
      downstream of a failed test.

    Each update leads to one request, so a failed run isn't repeated on every tick; the next update of any dependency
    requests the model again. An update that arrives while the model is being built leads to another request, because
    the condition counts from the last request, not from the last build.

    Also requests a model that was built and never tested, as happens if its run was interrupted in between: what reads
    the model would wait for its tests. At most once every ten minutes, as the next run may end in the same way.
    """
    condition = dg.AutomationCondition
    # newly_missing covers the first evaluation, when the dependencies already have data.
    news = condition.newly_missing() | condition.any_deps_updated()
    # newly_requested means that the previous tick requested the model. News seen by this tick arrived after that
    # request; without `& ~news`, the request would reset it, and data loaded between the two ticks would be lost.
    due = news.since(condition.newly_requested() & ~news)
    trusted = condition.all_deps_match(
        condition.will_be_requested() | condition.all_checks_match(condition.check_passed(), blocking_only=True)
    ).with_label("dependencies_passed_their_blocking_checks")
    return (
        (due.with_label("new_data_since_last_asked_for") | (untested() & condition.cron_tick_passed(_AGAIN)))
        & has_data()
        & ~condition.any_deps_in_progress()
        & ~condition.in_progress()
        & trusted
    ).with_label("follows_its_tables")


def follows_its_input() -> dg.AutomationCondition[Any]:
    """Requests a table that is made from another one when that one has new data since the last request. The source
    itself, which stands before it too, has no data that Dagster knows of."""
    condition = dg.AutomationCondition
    news = condition.newly_missing() | condition.any_deps_updated()
    due = news.since(condition.newly_requested() & ~news).with_label("new_data_since_last_asked_for")
    there = condition.any_deps_match(~condition.missing() | condition.will_be_requested())
    return (due & there & ~condition.any_deps_in_progress() & ~condition.in_progress()).with_label("follows_its_input")


def untested() -> dg.AutomationCondition[Any]:
    """A blocking check of the model has no result for the model as it is now."""
    condition = dg.AutomationCondition
    result = condition.check_passed() | condition.check_failed()
    return (~condition.missing() & condition.any_checks_match(~result, blocking_only=True)).with_label("untested")


def has_data() -> dg.AutomationCondition[Any]:
    """Every dependency has data. A raw table is partitioned by day, and some days never get a file: one day with data
    is enough."""
    condition = dg.AutomationCondition
    raw = dg.AssetSelection.key_prefixes(["raw"])
    there = ~condition.missing() | condition.will_be_requested()
    return (condition.any_deps_match(there) & condition.all_deps_match(there).ignore(raw)).with_label(
        "dependencies_have_data"
    )
