"""A file feed: one table-shaped stream of files that a partner drops."""

from __future__ import annotations

from dataclasses import dataclass

import dagster as dg
from pydantic import BaseModel

from data_platform.components.scaffolds import FileFeedScaffolder
from data_platform.feeds.files import FileFeedDeclaration


@dg.scaffold_with(FileFeedScaffolder)
@dataclass
class FileFeed(dg.Component):
    """One feed of an SFTP partner, in a folder below its partner's: `sources/partners/<partner>/<feed>/defs.yaml`.

    The folders' names become the assets `lake/<partner>/<feed>` and `raw/<partner>/<feed>`, and the table
    `RAW_<PARTNER>.<FEED>`. A run decodes the files that match the pattern and checks them against the contract. Rows
    that break it become rejects; all other rows are loaded.

    ```yaml
    type: data_platform.components.FileFeed
    attributes:
      description: Water meter readings, one file per hour.
      pattern: 'readings_(?P<day>\\d{8})T\\d{2}\\.csv'
      format: {type: csv, delimiter: ","}
      partition: {start: 2026-01-01}
      load_mode: append
      reject_limit: {share: 0.02}
      contract:
        key: [meter_id, read_at]
        drift: evolve
        columns:
          - {name: meter_id, type: string, nullable: false, description: The meter.}
          - {name: read_at, type: timestamp, nullable: false, description: When it was read.}
          - {name: litres, type: "decimal(12,3)", description: The meter's register.}
    ```
    """

    attributes: FileFeedDeclaration

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        """The schema that `dg check yaml` validates a `defs.yaml` against."""
        return FileFeedDeclaration

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> FileFeed:
        """Keeps the attributes as they are, without templates: patterns may contain braces."""
        return cls(FileFeedDeclaration.model_validate(attributes))

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """A feed has no definitions of its own: its partner builds one step for all its feeds."""
        raise dg.DagsterInvalidDefinitionError(
            f"{context.path}: put a FileFeed into a folder directly below its SftpPartner's folder"
        )
