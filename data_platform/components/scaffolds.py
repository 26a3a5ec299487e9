"""What `dg scaffold defs` writes: a `defs.yaml` that teaches, ready to be filled in."""

from __future__ import annotations

from typing import Any, ClassVar

import dagster as dg


class _TemplateScaffolder(dg.Scaffolder[Any]):
    """Writes one `defs.yaml` from a template in which `{name}` is the folder's name."""

    template: ClassVar[str]

    def scaffold(self, request: dg.ScaffoldRequest[Any]) -> None:
        """Makes the folder and its `defs.yaml`."""
        request.target_path.mkdir(parents=True, exist_ok=True)
        text = self.template.replace("{name}", request.target_path.name)
        (request.target_path / "defs.yaml").write_text(text, encoding="utf-8")


class SftpPartnerScaffolder(_TemplateScaffolder):
    """`dg scaffold defs data_platform.components.SftpPartner sources/partners/<partner>`."""

    template = """\
# A partner that delivers files over SFTP. The folder's name, {name}, is its SFTP user, its inbound prefix and the
# schema of its tables (RAW_{name}). Each folder below is one feed:
#   dg scaffold defs data_platform.components.FileFeed sources/partners/{name}/<feed>
type: data_platform.components.SftpPartner

attributes:
  description: Who {name} is, and what it sends.
  # OpenSSH public key lines (`ssh-ed25519 AAAA... name`); list two while keys are rotated. Locally a key pair is made
  # for every partner besides, in .local/keys/partners/{name}.
  public_keys: []
  # The zone of the days in file names and of expected arrivals.
  time_zone: America/New_York
  # Who answers for the data here: emails or team:<name>.
  owners: ["team:data"]
  # Whom to ask at the partner's.
  contacts: []
"""


class FileFeedScaffolder(_TemplateScaffolder):
    """`dg scaffold defs data_platform.components.FileFeed sources/partners/<partner>/<feed>`."""

    template = """\
# A feed: one table, fed by the files whose names match the pattern. Check it with `data-platform check`.
type: data_platform.components.FileFeed

attributes:
  description: What one row of {name} is.

  # A regular expression that a file's whole name must match. Named groups say what stands in a name.
  pattern: '{name}_(?P<day>\\d{8})\\.csv'
  # csv (delimiter, quote, encoding), json_lines (encoding), parquet, or excel (sheet, header_row).
  format: {type: csv}
  # none, gzip or zip.
  compression: none

  # A file is read when it has not changed for so long. Or wait for a companion: {manifest: "{stem}.manifest.json"}
  # (JSON with rows, bytes, sha256, which the file must agree with) or {trigger: "{name}.done"}.
  readiness: {settle_seconds: 10}

  # By the day in the file's name; leave it out for a feed that isn't by day.
  partition: {group: day, format: '%Y%m%d', start: 2026-01-01}
  # An alert says which hour or day is missing. Leave it out where files come as they may.
  # expected: {every: day, within_minutes: 360}

  # append: rows are added. merge: a row replaces the one of its key. replace: a delivery replaces its day's rows (or
  # all, without partition).
  load_mode: append
  # Rows that break the contract are kept apart as rejects; past the limit nothing of the file is loaded.
  reject_limit: {share: 0.05}

  contract:
    # The columns that tell one row from another.
    key: [id]
    # A column that is not named below: reject (the file is quarantined), ignore, or evolve (added as text).
    drift: reject
    # Types: string, int8 to int64, decimal(p,s), float, boolean, date, timestamp, time, json, binary, geometry(srid).
    # Hints: formats (strptime), time_zone (of times without offset), decimal_mark, true_words, false_words,
    # null_words, source_name (the header, where it differs from name).
    columns:
      - {name: id, type: string, nullable: false, description: What identifies a row}
      - {name: amount, type: "decimal(12,2)", description: An example of an exact number}
"""
