"""How long the platform keeps what no table needs."""

from __future__ import annotations

from dataclasses import dataclass

import dagster as dg
from pydantic import BaseModel, ConfigDict, Field

from data_platform.automation.retention import retention_definitions


class RetentionAttributes(BaseModel):
    """The attributes of a Retention's `defs.yaml`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    owners: tuple[str, ...]
    extracts_days: int = Field(90, ge=7)
    rejects_days: int = Field(365, ge=7)
    receipts_days: int = Field(365, ge=31)
    cron: str = "15 3 * * *"


@dataclass
class Retention(dg.Component):
    """How long the platform keeps what no table needs, and when it deletes it: the job `retention`.

    `extracts_days`: extracts whose rows are in no table any more, because a later snapshot or file replaced them. An
    extract whose rows are in a table stays, as do those that aren't loaded yet. `rejects_days`: rows of
    PLATFORM.REJECTS; the extract's rejects in the lake stay as long as the extract. `receipts_days`: partners'
    receipts, by month. `cron` is in the platform's time zone. The ledger itself is never deleted.

    ```yaml
    type: data_platform.components.Retention
    attributes:
      owners: ["team:platform"]
      extracts_days: 90
      rejects_days: 365
      receipts_days: 365
      cron: "15 3 * * *"
    ```
    """

    attributes: RetentionAttributes

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        """The schema that `dg check yaml` validates a `defs.yaml` against."""
        return RetentionAttributes

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> Retention:
        """Keeps the attributes as they are."""
        return cls(RetentionAttributes.model_validate(attributes))

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The asset `operations/retention`, its job and its schedule."""
        given = self.attributes
        return retention_definitions(
            given.owners,
            extracts_days=given.extracts_days,
            rejects_days=given.rejects_days,
            receipts_days=given.receipts_days,
            cron=given.cron,
        )
