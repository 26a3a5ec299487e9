"""A database, and the tables of it that are read."""

from __future__ import annotations

from dataclasses import dataclass

import dagster as dg
from pydantic import BaseModel

from data_platform.automation.table_sources import open_tables
from data_platform.components.feed_assets import SourceKind, feed_definitions
from data_platform.components.scaffolds import SqlTablesScaffolder
from data_platform.feeds.databases import DatabaseDeclaration, SqlTableSpec

TABLES = SourceKind(
    open_tables,
    origin_kinds=frozenset((SqlTableSpec.kind,)),
    extracts="Parquet extracts, one per read, with the rejects beside them.",
    docs="add-a-database.md",
)


@dg.scaffold_with(SqlTablesScaffolder)
@dataclass
class SqlTables(dg.Component):
    """Tables of a database, in `sources/databases/<name>/defs.yaml`.

    The folder's name becomes the source in the tables' assets, `lake/<name>/<table>` and `raw/<name>/<table>`, and
    the schema `RAW_<NAME>`. `connection`: the variable DATA_PLATFORM_CONNECTION_<CONNECTION> holds the database's URL.
    `schedule`: when to read it, as cron in the platform's time zone; without it, at 05:30 with all other databases.
    A table of load mode `replace` is read whole, in one transaction; so is one of load mode `history`, which keeps each
    version of a row. A large one is read in parts. One of load mode `merge` is read from where the last read ended, by
    a `watermark`: a column that grows with each change of a row; `deletions: keys` has rows removed whose key is gone.

    ```yaml
    type: data_platform.components.SqlTables
    attributes:
      description: The city's register of addresses and permits.
      time_zone: America/New_York
      owners: ["team:records"]
      connection: city_records
      tables:
        - table: addresses
          from: register.addresses
          description: Every address of the city.
          load_mode: replace
          contract:
            key: [address_id]
            columns:
              - {name: address_id, type: int64, nullable: false, description: The address.}
              - {name: street, type: string, description: Its street.}
        - table: permits
          description: Permits to build, as they are granted and changed.
          load_mode: merge
          watermark: {column: updated_at, overlap_minutes: 15}
          contract:
            key: [permit_id]
            columns:
              - {name: permit_id, type: int64, nullable: false, description: The permit.}
              - {name: fee, type: "decimal(12,2)", description: What it cost.}
              - {name: updated_at, type: timestamp, nullable: false, description: When it was changed last.}
    ```
    """

    attributes: DatabaseDeclaration

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        """The schema that `dg check yaml` validates a `defs.yaml` against."""
        return DatabaseDeclaration

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> SqlTables:
        """Keeps the attributes as they are, without templates."""
        return cls(DatabaseDeclaration.model_validate(attributes))

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The assets of all tables."""
        feeds = [read() for _, read in self.attributes.feeds(context.path / "defs.yaml")]
        description = self.attributes.description
        return feed_definitions(
            description, f"{description}\n\nThe database {self.attributes.connection}.", feeds, TABLES
        )
