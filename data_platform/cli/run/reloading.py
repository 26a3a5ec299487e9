"""The runs of `run --reload`: they load the extracts that the ledger has in a table once more, from the lake."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import date
from typing import Any

import click

from data_platform.automation.feed_keys import days_of, lake_key, raw_key, step_names
from data_platform.cli.run.location import CodeLocation
from data_platform.cli.run.selection import Days, Wanted, selected
from data_platform.feeds.files import FileFeedSpec
from data_platform.feeds.spec import FeedSpec
from data_platform.warehouse.ledger import InTable


def reload_runs(
    location: CodeLocation, selection: str, days: Days, there: Callable[[FeedSpec], Collection[InTable]]
) -> tuple[list[Wanted], set[str]]:
    """The runs, day by day, and the selected feeds. `there`: the extracts that the ledger has in a feed's table. Raises
    click.BadParameter for a selection of other assets than feeds' tables, and for days of a feed without partitions."""
    keys = selected(location, selection)
    every = [*location.feeds, *location.tables]
    feeds = [feed for feed in every if keys & {lake_key(feed), raw_key(feed)}]
    others = keys - {key for feed in feeds for key in (lake_key(feed), raw_key(feed))}
    if others:
        named = ", ".join(sorted(key.to_user_string() for key in others)[:5])
        raise click.BadParameter(
            f"--reload loads feeds' tables again, and {named} is none; select, for example, 'raw/harbor_water/*'",
            param_hint="--select",
        )
    if undated := [feed.name for feed in feeds if feed.partition is None and days.limited]:
        raise click.BadParameter(f"{', '.join(undated)} has no days: leave --from and --to out", param_hint="--select")
    steps = step_names(every)
    together: dict[tuple[str, bool, str], list[FeedSpec]] = defaultdict(list)
    for feed in feeds:
        found = {extract.partition or "" for extract in there(feed)}
        chosen = sorted(day for day in found if not day or days.have(date.fromisoformat(day)))
        # A run loads all days of a history again, as a version lasts for many days.
        for day in chosen[-1:] if feed.load_mode == "history" else chosen:
            together[day, isinstance(feed, FileFeedSpec), days_of(feed)].append(feed)
    runs = [
        Wanted([raw_key(feed) for feed in mine], day or None, landing, _config(steps[feed.name] for feed in mine))
        for (day, landing, _), mine in sorted(together.items(), key=lambda item: item[0])
    ]
    return runs, {feed.name for feed in feeds}


def _config(steps: Iterable[str]) -> Mapping[str, Any]:
    return {"ops": {step: {"config": {"reload": True}} for step in steps}}
