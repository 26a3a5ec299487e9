"""A Knack application, and the objects of it that are read."""

from __future__ import annotations

from dataclasses import dataclass

import dagster as dg
from pydantic import BaseModel

from data_platform.automation.table_sources import open_tables, pool_of
from data_platform.components.feed_assets import SourceKind, feed_definitions
from data_platform.components.scaffolds import KnackObjectsScaffolder
from data_platform.feeds.web_apis import KnackDeclaration, KnackObjectSpec

OBJECTS = SourceKind(
    open_tables,
    origin_kinds=frozenset((KnackObjectSpec.kind,)),
    extracts="Parquet extracts, one per read, with the rejects beside them.",
    docs="add-a-web-api.md",
    pool=pool_of,
)


@dg.scaffold_with(KnackObjectsScaffolder)
@dataclass
class KnackObjects(dg.Component):
    """Objects of a Knack application, in `sources/knack/<name>/defs.yaml`.

    The folder's name becomes the source in the objects' assets, `lake/<name>/<table>` and `raw/<name>/<table>`, and
    the schema `RAW_<NAME>`. `connection`: the variable DATA_PLATFORM_CONNECTION_<CONNECTION> holds Knack's URL with the
    application's id and its API key. An object is read whole each time. A column's `source_name` is its field's key, so
    that a renamed field changes nothing; the record's own is `id`.

    ```yaml
    type: data_platform.components.KnackObjects
    attributes:
      description: The community grants.
      time_zone: America/New_York
      owners: ["team:programmes"]
      connection: community_grants
      tables:
        - table: grants
          from: object_1
          description: Every grant that was applied for.
          contract:
            key: [grant_id]
            drift: ignore
            columns:
              - {name: grant_id, type: string, nullable: false, source_name: id, description: The record}
              - {name: amount, type: "decimal(12,2)", source_name: field_3, description: Dollars}
              - {name: decided_at, type: timestamp, source_name: field_4, time_zone: America/New_York}
              - {name: programme, type: json, source_name: field_5, description: The connected records}
    ```
    """

    attributes: KnackDeclaration

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        """The schema that `dg check yaml` validates a `defs.yaml` against."""
        return KnackDeclaration

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> KnackObjects:
        """Keeps the attributes as they are, without templates."""
        return cls(KnackDeclaration.model_validate(attributes))

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The assets of all objects."""
        feeds = [read() for _, read in self.attributes.feeds(context.path / "defs.yaml")]
        description = self.attributes.description
        return feed_definitions(
            description,
            f"{description}\n\nA Knack application, by the connection {self.attributes.connection}.",
            feeds,
            OBJECTS,
        )
