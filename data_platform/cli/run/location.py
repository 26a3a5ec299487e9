"""The code location in this process: its definitions, and Dagster's instance. Who executes its runs is in `here` and
`daemon`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import dagster as dg

from data_platform.automation.feed_keys import feeds_of
from data_platform.automation.publications import PREFIX
from data_platform.components.invalid import messages_of_invalid
from data_platform.environment import settings
from data_platform.feeds.declared import TABLES
from data_platform.feeds.files import FileFeedSpec
from data_platform.feeds.tables import TableSpec
from data_platform.runs.run_lock import folder_in

_KEY_OR_QUOTED = re.compile(r'"[^"]*"|(?<![\w:*/.-])[\w*.-]+(?:/[\w*.-]+)+')


class CodeLocation:
    """Definitions and instance. Loading takes a second or two; the settings must have been adopted."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        from data_platform.definitions import defs

        self.instance = instance
        self.definitions: dg.Definitions = defs()

    @cached_property
    def repository(self) -> dg.RepositoryDefinition:
        """The definitions as code servers see them."""
        return self.definitions.get_repository_def()

    @cached_property
    def feeds(self) -> Sequence[FileFeedSpec]:
        """Every file feed."""
        return feeds_of(self.repository, FileFeedSpec)

    @cached_property
    def tables(self) -> Sequence[TableSpec]:
        """Every table that the platform reads from another system."""
        found = [table for kind in TABLES for table in feeds_of(self.repository, kind)]
        return sorted(found, key=lambda table: table.name)

    @cached_property
    def datasets(self) -> list[dg.AssetKey]:
        """The publications of this environment."""
        return [key for key in self.repository.asset_graph.get_all_asset_keys() if key.path[0] == PREFIX]

    @cached_property
    def invalid(self) -> list[str]:
        """Why definitions were left out, such as a dbt project that can't be parsed."""
        return messages_of_invalid(self.definitions.resolve_all_asset_specs())

    def select(self, selection: str) -> list[dg.AssetKey]:
        """The materializable assets of a selection, in order. Raises Dagster's errors for a selection that is not in
        its syntax."""
        found = dg.AssetSelection.from_string(in_full(selection)).materializable()
        return sorted(found.resolve(self.repository.asset_graph))


def in_full(selection: str) -> str:
    """The selection in Dagster's syntax: `raw/clear_air/*+ or marts/x` is short for `key:"raw/clear_air/*"+ or
    key:"marts/x"`."""
    return _KEY_OR_QUOTED.sub(lambda found: found[0] if found[0][0] == '"' else f'key:"{found[0]}"', selection)


def run_locks() -> Path:
    """Where the processes of runs hold their locks."""
    return folder_in(settings().state_dir)
