"""A dataset in a CARTO account."""

from __future__ import annotations

from dataclasses import dataclass

import dagster as dg
from pydantic import BaseModel

from data_platform.automation.publications import publication_definitions
from data_platform.publish.spec import CartoPublication, dataset_of


@dataclass
class CartoDataset(dg.Component):
    """A model, published to CARTO, in `publish/carto/<dataset>/defs.yaml`. The folder's name is the dataset's.

    The asset `publication/carto/<dataset>` follows its model when the model's blocking checks have passed. It publishes
    all rows or none; a version with the same rows isn't published again; `data-platform publications rollback` brings
    the version before back. List it in an `automation.yaml` beside it, with the environments that publish it.

    ```yaml
    type: data_platform.components.CartoDataset
    attributes:
      from: marts/dim_stations
      description: The city's monitoring stations.
      owners: ["team:environment"]
      connection: carto
      key: [station_id]
      columns: [station_id, name, opened_on, active]
      geometry: {longitude: longitude, latitude: latitude}
      indexes: [name]
      select_users: [publicuser]
      rows_may_change_by: 20
    ```
    """

    attributes: CartoPublication

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        """The schema that `dg check yaml` validates a `defs.yaml` against."""
        return CartoPublication

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> CartoDataset:
        """Keeps the attributes as they are, without templates."""
        return cls(CartoPublication.model_validate(attributes))

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The dataset's asset."""
        return publication_definitions(dataset_of(self.attributes, context.path))
