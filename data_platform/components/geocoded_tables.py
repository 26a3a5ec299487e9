"""A geocoding service, and the tables whose addresses it is asked for."""

from __future__ import annotations

from dataclasses import dataclass

import dagster as dg
from pydantic import BaseModel

from data_platform.automation.conditions import follows_its_input
from data_platform.automation.table_sources import open_tables, pool_of
from data_platform.components.feed_assets import SourceKind, feed_definitions
from data_platform.components.scaffolds import GeocodedTablesScaffolder
from data_platform.feeds.geocoded import GeocodedSpec, GeocoderDeclaration

PLACES = SourceKind(
    open_tables,
    origin_kinds=frozenset((GeocodedSpec.kind,)),
    extracts="Parquet extracts, one per run: all addresses of the column, with their places.",
    docs="geocode.md",
    pool=pool_of,
    inputs=lambda feed: (dg.AssetKey(feed.from_.split("/")),),
    condition=follows_its_input(),
)


@dg.scaffold_with(GeocodedTablesScaffolder)
@dataclass
class GeocodedTables(dg.Component):
    """Tables of geocoded addresses, in `sources/geocoders/<name>/defs.yaml`.

    The folder's name becomes the source in the tables' assets, `lake/<name>/<table>` and `raw/<name>/<table>`, and the
    schema `RAW_<NAME>`. A table has one row for each different address in a column of another table (`from`: a raw
    table or a model), with its place, or the reason why it has none. It follows that table. The service is asked for
    addresses that it hasn't answered yet, within `cap`. `connection`: the variable
    DATA_PLATFORM_CONNECTION_<CONNECTION> holds the service's URL, with its key as the password. The check `match_rate`
    fails below `minimum_match_rate`.

    ```yaml
    type: data_platform.components.GeocodedTables
    attributes:
      description: The city's address search.
      time_zone: America/New_York
      owners: ["team:records"]
      connection: address_search
      provider: {type: address_search, per_second: 10}
      cap: {per_run: 5000, per_day: 20000}
      kept_days: {matched: 365, missed: 30}
      tables:
        - table: service_requests
          from: raw/city_records/service_requests
          column: address
          description: Where the addresses of service requests are.
          minimum_match_rate: 0.9
    ```
    """

    attributes: GeocoderDeclaration

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        """The schema that `dg check yaml` validates a `defs.yaml` against."""
        return GeocoderDeclaration

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> GeocodedTables:
        """Keeps the attributes as they are, without templates."""
        return cls(GeocoderDeclaration.model_validate(attributes))

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The assets of all tables."""
        feeds = [read() for _, read in self.attributes.feeds(context.path / "defs.yaml")]
        description = self.attributes.description
        return feed_definitions(
            description, f"{description}\n\nA geocoder, by the connection {self.attributes.connection}.", feeds, PLACES
        )
