"""An Airtable base, and the tables of it that are read."""

from __future__ import annotations

from dataclasses import dataclass

import dagster as dg
from pydantic import BaseModel

from data_platform.automation.table_sources import open_tables, pool_of
from data_platform.components.feed_assets import SourceKind, feed_definitions
from data_platform.components.scaffolds import AirtableTablesScaffolder
from data_platform.feeds.web_apis import AirtableDeclaration, AirtableTableSpec

TABLES = SourceKind(
    open_tables,
    origin_kinds=frozenset((AirtableTableSpec.kind,)),
    extracts="Parquet extracts, one per read, with the rejects beside them.",
    docs="add-a-web-api.md",
    pool=pool_of,
)


@dg.scaffold_with(AirtableTablesScaffolder)
@dataclass
class AirtableTables(dg.Component):
    """Tables of an Airtable base, in `sources/airtable/<name>/defs.yaml`.

    The folder's name becomes the source in the tables' assets, `lake/<name>/<table>` and `raw/<name>/<table>`, and
    the schema `RAW_<NAME>`. `connection`: the variable DATA_PLATFORM_CONNECTION_<CONNECTION> holds Airtable's URL with
    a personal access token. A table is read whole each time. A column's `source_name` is its field's id, so that a
    renamed field changes nothing; the record's own are `id` and `createdTime`.

    ```yaml
    type: data_platform.components.AirtableTables
    attributes:
      description: The community programmes, and who runs them.
      time_zone: America/New_York
      owners: ["team:programmes"]
      connection: community_programmes
      base: appMeridian0000001
      tables:
        - table: programmes
          from: tblProgrammes00001
          description: Every programme.
          contract:
            key: [programme_id]
            drift: ignore
            columns:
              - {name: programme_id, type: string, nullable: false, source_name: id, description: The record}
              - {name: name, type: string, source_name: fldName0000000001, description: What it is called}
              - {name: tags, type: json, source_name: fldTags0000000001, description: A list of words}
    ```
    """

    attributes: AirtableDeclaration

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        """The schema that `dg check yaml` validates a `defs.yaml` against."""
        return AirtableDeclaration

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> AirtableTables:
        """Keeps the attributes as they are, without templates."""
        return cls(AirtableDeclaration.model_validate(attributes))

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The assets of all tables."""
        feeds = [read() for _, read in self.attributes.feeds(context.path / "defs.yaml")]
        description = self.attributes.description
        return feed_definitions(
            description, f"{description}\n\nThe Airtable base {self.attributes.base}.", feeds, TABLES
        )
