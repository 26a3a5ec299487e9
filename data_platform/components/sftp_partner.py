"""A partner that delivers files over SFTP, and all its feeds."""

from __future__ import annotations

from dataclasses import dataclass

import dagster as dg
from pydantic import BaseModel

from data_platform.automation.arrivals import arrivals_check
from data_platform.automation.landing_sources import LandingConfig, open_landing
from data_platform.components.feed_assets import SourceKind, feed_definitions
from data_platform.components.invalid import broken_definition
from data_platform.components.scaffolds import SftpPartnerScaffolder
from data_platform.environment import settings
from data_platform.feeds.documents import DefinitionInvalid
from data_platform.feeds.files import FileFeedSpec
from data_platform.feeds.partners import PartnerDeclaration

LANDING = SourceKind(
    open_landing,
    origin_kinds={FileFeedSpec.kind, "s3"},
    extracts="Parquet extracts, one per delivery, with the rejects beside them.",
    docs="add-a-feed.md",
    config=LandingConfig,
    resources={"landing"},
)


@dg.scaffold_with(SftpPartnerScaffolder)
@dataclass
class SftpPartner(dg.Component):
    """A partner, in `sources/partners/<partner>/defs.yaml`; each folder below it is one of its feeds.

    The folder's name is the partner's SFTP user, its inbound folder and the source in its assets' keys. `public_keys`:
    OpenSSH lines, whose owners may deliver. `time_zone` (IANA): the zone of days in file names and of expected
    arrivals. `owners` (emails or `team:<name>`): the owners of the feeds' assets. `compute`: the size of a Fargate task
    that loads one of its feeds, unless the feed sets its own. `quota`: how many files and gigabytes may be pending;
    what lies beyond waits.

    ```yaml
    type: data_platform.components.SftpPartner
    attributes:
      description: Harbor Water, the city's water utility.
      time_zone: America/New_York
      owners: ["team:water"]
      public_keys:
        - ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKjN5v4o6s0mO0bE8cQmV0v1eXr1ZtX2Yh3w0pQn7abc telemetry@harbor-water
      contacts: [telemetry@harbor-water.example]
      compute: {cpu: 1024, memory: 4096, spot: true}
      quota: {files: 20000, gigabytes: 200}
    ```
    """

    attributes: PartnerDeclaration

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        """The schema that `dg check yaml` validates a `defs.yaml` against."""
        return PartnerDeclaration

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> SftpPartner:
        """Keeps the attributes as they are, without templates."""
        return cls(PartnerDeclaration.model_validate(attributes))

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The assets of all the partner's feeds. In `local`, a feed with wrong YAML fails the load. Elsewhere an asset
        with the error as its description replaces the feed, and the other feeds load."""
        partner = context.path.name
        feeds: list[FileFeedSpec] = []
        broken: list[dg.AssetSpec] = []
        for path, read in self.attributes.feeds(context.path / "defs.yaml"):
            try:
                feeds.append(read())
            except DefinitionInvalid as error:
                if settings().environment == "local":
                    raise
                broken.append(broken_definition(["raw", partner, path.parent.name], error))
        description = self.attributes.description
        arrivals = arrivals_check(feeds)
        return feed_definitions(
            description,
            f"{description}\n\nThe files that {partner} drops over SFTP.",
            feeds,
            LANDING,
            invalid=broken,
            checks=[arrivals] if arrivals else [],
        )
