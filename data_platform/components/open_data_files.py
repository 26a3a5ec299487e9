"""A dataset as files for open data portals."""

from __future__ import annotations

from dataclasses import dataclass

import dagster as dg
from pydantic import BaseModel

from data_platform.automation.publications import publication_definitions
from data_platform.publish.spec import FilesPublication, dataset_of


@dataclass
class OpenDataFiles(dg.Component):
    """A model, published as files, in `publish/files/<dataset>/defs.yaml`. The folder's name is the dataset's.

    The files are in the lake, under `publications/<dataset>/`: each version in a folder of its own, and `current.json`,
    which names the version that counts, its files and its entry for a catalogue (DCAT-US). A data dictionary with the
    model's descriptions goes with it. The asset `publication/files/<dataset>` is made as a CartoDataset's is.

    ```yaml
    type: data_platform.components.OpenDataFiles
    attributes:
      from: marts/permits_by_neighborhood
      title: Building permits by neighborhood
      description: How many building permits each neighborhood has, and what the works cost.
      owners: ["team:records"]
      key: [neighborhood]
      publisher: City of Port Meridian
      contact: {name: Data desk, email: data@portmeridian.example}
      keywords: [permits, construction]
      license: https://creativecommons.org/publicdomain/zero/1.0/
      url: https://data.portmeridian.example/publications
      formats: [csv, geojson, geoparquet]
    ```
    """

    attributes: FilesPublication

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        """The schema that `dg check yaml` validates a `defs.yaml` against."""
        return FilesPublication

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> OpenDataFiles:
        """Keeps the attributes as they are, without templates."""
        return cls(FilesPublication.model_validate(attributes))

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The dataset's asset."""
        return publication_definitions(dataset_of(self.attributes, context.path))
