"""Templates for `dg scaffold defs`: a `defs.yaml` to fill in, with a comment on each field."""

from __future__ import annotations

from typing import Any, ClassVar

import dagster as dg


class _TemplateScaffolder(dg.Scaffolder[Any]):
    """Writes one `defs.yaml` from a template. `{name}` becomes the folder's name."""

    template: ClassVar[str]

    def scaffold(self, request: dg.ScaffoldRequest[Any]) -> None:
        """Makes the folder and its `defs.yaml`."""
        request.target_path.mkdir(parents=True, exist_ok=True)
        text = self.template.replace("{name}", request.target_path.name)
        (request.target_path / "defs.yaml").write_text(text, encoding="utf-8")


class SftpPartnerScaffolder(_TemplateScaffolder):
    """`dg scaffold defs data_platform.components.SftpPartner sources/partners/<partner>`."""

    template = """\
# A partner that delivers files over SFTP. The folder's name, {name}, is its SFTP user, its inbound folder and its
# schema (RAW_{name}). Add each feed in a folder below:
#   dg scaffold defs data_platform.components.FileFeed sources/partners/{name}/<feed>
type: data_platform.components.SftpPartner

attributes:
  description: Who {name} is, and which data it sends.
  # OpenSSH public key lines (`ssh-ed25519 AAAA... name`). To rotate a key, list the old and the new one. On this
  # machine, `data-platform up` also creates a key pair: .local/keys/partners/{name}.
  public_keys: []
  # The IANA time zone of the days in file names and of expected arrivals.
  time_zone: America/New_York
  # Who owns the data in this platform: emails or team:<name>.
  owners: ["team:data"]
  # Contacts at the partner.
  contacts: []
"""


class FileFeedScaffolder(_TemplateScaffolder):
    """`dg scaffold defs data_platform.components.FileFeed sources/partners/<partner>/<feed>`."""

    template = """\
# A feed: one table, loaded from the files that match the pattern. Check this file with `data-platform check`.
type: data_platform.components.FileFeed

attributes:
  description: What one row of {name} means.

  # A regular expression that must match the whole file name. The named group `day` captures the file's day.
  pattern: '{name}_(?P<day>\\d{8})\\.csv'
  # csv (delimiter, quote, encoding), json_lines (encoding), parquet, or excel (sheet, header_row).
  format: {type: csv}
  # none, gzip or zip.
  compression: none

  # When a file may be read: its size has been stable for so long. Or wait for a second file:
  # {manifest: "{stem}.manifest.json"} (JSON; its rows, bytes and sha256 must agree with the file) or
  # {trigger: "{stem}.done"}.
  readiness: {settle_seconds: 10}

  # The day in the file name. Leave this out for a feed without days.
  partition: {group: day, format: '%Y%m%d', start: 2026-01-01}
  # The check `arrivals` warns which hour's or day's file is missing. Leave this out if files have no regular time.
  # expected: {every: day, within_minutes: 360}

  # append adds rows. merge replaces rows with the same key. replace replaces the day's rows (without partition, all).
  # history keeps the versions of each row, from files that are full snapshots of a day.
  load_mode: append
  # Rows that break the contract are kept as rejects. Past this limit the whole file is quarantined.
  reject_limit: {share: 0.05}

  contract:
    # The columns that identify a row.
    key: [id]
    # For a column that is not listed below: reject (quarantine the file), ignore, or evolve (add it as text).
    drift: reject
    # Types: string, int8 to int64, decimal(p,s), float, boolean, date, timestamp, time, json, binary, geometry(srid).
    # Hints: formats (strptime), time_zone (of times without an offset), decimal_mark, true_words, false_words,
    # null_words, source_name (the column's name in the file, if it differs).
    columns:
      - {name: id, type: string, nullable: false, description: What identifies a row}
      - {name: amount, type: "decimal(12,2)", description: An example of an exact number}
"""


class SqlTablesScaffolder(_TemplateScaffolder):
    """`dg scaffold defs data_platform.components.SqlTables sources/databases/<name>`."""

    template = """\
# Tables of a database. The folder's name, {name}, is the source in the tables' assets, and their schema
# (RAW_{name}). Check this file with `data-platform check`.
type: data_platform.components.SqlTables

attributes:
  description: What {name} holds, and who keeps it.
  # The IANA time zone of the database's days.
  time_zone: America/New_York
  # Who owns the data in this platform: emails or team:<name>.
  owners: ["team:data"]
  # The connection's name. Its URL is a secret: DATA_PLATFORM_CONNECTION_<NAME>, for this one
  # postgresql://user:password@host:5432/database?sslmode=verify-full
  connection: {name}
  tables:
    - table: example
      # Where it is in the database. Leave this out if it has the same name in the schema public.
      from: public.example
      description: What one row of example means.
      # replace reads the whole table each time; history does too, and keeps each version of a row. merge reads what
      # has changed since the last read, and needs watermark: {column: updated_at, overlap_minutes: 15}: a column that
      # grows with each change of a row.
      load_mode: replace
      contract:
        # The columns that identify a row.
        key: [id]
        # For a column that is not listed below: reject (read nothing), ignore, or evolve (add it as text).
        drift: reject
        # Types: string, int8 to int64, decimal(p,s), float, boolean, date, timestamp, time, json, binary,
        # geometry(srid). Hints: source_name (the column's name in the database, if it differs), time_zone (of
        # timestamps without time zone).
        columns:
          - {name: id, type: int64, nullable: false, description: What identifies a row}
          - {name: amount, type: "decimal(12,2)", description: An example of an exact number}
"""


class AirtableTablesScaffolder(_TemplateScaffolder):
    """`dg scaffold defs data_platform.components.AirtableTables sources/airtable/<name>`."""

    template = """\
# Tables of an Airtable base. The folder's name, {name}, is the source in the tables' assets, and their schema
# (RAW_{name}). Check this file with `data-platform check`.
type: data_platform.components.AirtableTables

attributes:
  description: What {name} holds, and who keeps it.
  # The IANA time zone of the source's days.
  time_zone: America/New_York
  # Who owns the data in this platform: emails or team:<name>.
  owners: ["team:data"]
  # The connection's name. Its URL is a secret: DATA_PLATFORM_CONNECTION_<NAME>, for this one
  # https://:<personal access token>@api.airtable.com (scopes data.records:read and schema.bases:read).
  connection: {name}
  # The ids of bases, tables and fields are in the address of a table (app.../tbl...) and in "Copy field id" or the API
  # documentation of the base.
  base: appXXXXXXXXXXXXXX
  tables:
    - table: example
      from: tblXXXXXXXXXXXXXX
      description: What one record of example means.
      # replace holds the records of the last read; history keeps each version of a record.
      load_mode: replace
      contract:
        # The columns that identify a record.
        key: [record_id]
        # For a field that is not listed below: reject (read nothing), or ignore.
        drift: reject
        # source_name: the field's id, or the record's own id or createdTime. Types: string, int8 to int64,
        # decimal(p,s), float, boolean (checkboxes), date, timestamp, json (attachments, selections, linked records).
        columns:
          - {name: record_id, type: string, nullable: false, source_name: id, description: The record}
          - {name: name, type: string, source_name: fldXXXXXXXXXXXXXX, description: An example of a text}
"""


class KnackObjectsScaffolder(_TemplateScaffolder):
    """`dg scaffold defs data_platform.components.KnackObjects sources/knack/<name>`."""

    template = """\
# Objects of a Knack application. The folder's name, {name}, is the source in the objects' assets, and their schema
# (RAW_{name}). Check this file with `data-platform check`.
type: data_platform.components.KnackObjects

attributes:
  description: What {name} holds, and who keeps it.
  # The IANA time zone of the source's days.
  time_zone: America/New_York
  # Who owns the data in this platform: emails or team:<name>.
  owners: ["team:data"]
  # The connection's name. Its URL is a secret: DATA_PLATFORM_CONNECTION_<NAME>, for this one
  # https://<application id>:<API key>@api.knack.com
  connection: {name}
  tables:
    - table: example
      # The object's key, from its address in Knack's builder.
      from: object_1
      description: What one record of example means.
      # replace holds the records of the last read; history keeps each version of a record.
      load_mode: replace
      contract:
        # The columns that identify a record.
        key: [record_id]
        # For a field that is not listed below: reject (read nothing), or ignore.
        drift: reject
        # source_name: the field's key, or the record's own id. Types: string, int8 to int64, decimal(p,s), float,
        # boolean, date, timestamp (needs time_zone: the application's clock), time, json (connections, addresses,
        # names, files, several choices).
        columns:
          - {name: record_id, type: string, nullable: false, source_name: id, description: The record}
          - {name: name, type: string, source_name: field_1, description: An example of a text}
"""


class GeocodedTablesScaffolder(_TemplateScaffolder):
    """`dg scaffold defs data_platform.components.GeocodedTables sources/geocoders/<name>`."""

    template = """\
# A geocoder, and the tables whose addresses it is asked for. The folder's name, {name}, is the source in the tables'
# assets, and their schema (RAW_{name}). Check this file with `data-platform check`.
type: data_platform.components.GeocodedTables

attributes:
  description: What {name} knows, and who keeps it.
  # The IANA time zone of the days of `cap`.
  time_zone: America/New_York
  # Who owns the data in this platform: emails or team:<name>.
  owners: ["team:data"]
  # The connection's name. Its URL is a secret: DATA_PLATFORM_CONNECTION_<NAME>, for this one
  # https://:KEY@api.example.org/ais/v1
  connection: {name}
  # {type: address_search, per_second: 10}: a city's address search API, such as Philadelphia's AIS.
  # {type: census, city: Springfield, state: IL}: the US Census Bureau's, without a key.
  provider: {type: address_search, per_second: 10}
  # How many addresses are asked for at most; the others wait for later runs.
  cap: {per_run: 5000, per_day: 20000}
  # For how many days an answer is used.
  kept_days: {matched: 365, missed: 30}
  tables:
    - table: requests
      # The asset with the addresses: a raw table or a model, and its column.
      from: raw/example/requests
      column: address
      description: Where the addresses of requests are.
      # The share of addresses with one place, below which the check match_rate fails.
      minimum_match_rate: 0.8
"""
