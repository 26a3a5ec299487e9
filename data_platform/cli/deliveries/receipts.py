"""One settled delivery: finds it, and puts its file into inbound again."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from data_platform.lake.shown import visible
from data_platform.landing.history import delivery, list_deliveries
from data_platform.landing.outcomes import DeliveryRow
from data_platform.landing.settle import settled_key

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

    from data_platform.landing.bucket import LandingBucket


def find(connection: SnowflakeConnection, database: str, wanted: str) -> DeliveryRow:
    """The delivery with that id or beginning of an id, or else the last settled one with that file name, as it is or as
    lists show it. Raises click.ClickException."""
    found = delivery(connection, database, wanted) if set(wanted) <= set("0123456789abcdef") else None
    if found is not None:
        return found
    for row in list_deliveries(connection, database, file_name=_like(wanted), limit=100):
        if wanted in (row.file_name, visible(row.file_name)):
            return row
    raise click.ClickException(
        f"No deliveries match {wanted!r}, or several ids begin with it. `data-platform deliveries list` shows"
        " ids and names, `data-platform deliveries pending` the files that are not settled yet."
    )


def _like(name: str) -> str:
    """A pattern for the name: what lists show as `\\n` may be a line break."""
    return "%".join(part.replace("%", "\\%") for part in re.split(r"\\(?:x..|u....|[nrt])?", name))


def what_replay_does(row: DeliveryRow) -> str:
    """What a replay will do, in a sentence or two."""
    name, reason = visible(row.file_name), visible(row.reason or "")
    subject = f"{name} of {row.partner}/{row.feed}, {row.status} at {row.settled_at:%Y-%m-%d %H:%M %Z}"
    what = {
        "loaded": "Its rows are loaded. The same content will become a duplicate and change nothing. To load the rows"
        " again from the lake, materialize the raw asset with `reload: true` instead.",
        "duplicate": "Its content was loaded before. It will be a duplicate again while that content is loaded.",
        "superseded": "A newer file has replaced it. After the replay it is the newest: in one transaction, its rows"
        " replace those of the other file.",
        "quarantined": f"It was quarantined: {reason}. The next run checks it against today's contract and limits,"
        " and loads it if it passes.",
    }
    return f"{subject}.\n{what[row.status]}"


def put_back(bucket: LandingBucket, row: DeliveryRow) -> None:
    """Copies the file, and its manifest or trigger if it came with one, into inbound: a new version, a new delivery.

    Raises click.ClickException if a pending file has the name, or if the file is gone.
    """
    if bucket.exists(row.object_key):
        raise click.ClickException(
            f"{visible(row.object_key)} is taken: a newer file with this name is in inbound. Wait until it is settled."
        )
    kept = settled_key(row)
    if not bucket.exists(kept):
        raise click.ClickException(
            f"{visible(kept)} is gone (its retention may have ended); ask {row.partner} to send the file again."
        )
    folder, _, name = kept.rpartition("/")
    inbound = row.object_key.rpartition("/")[0]
    others = [
        pending.key
        for page in bucket.pages(prefix=f"{folder}/")
        for pending in page
        if not pending.key.endswith(f"/{name}")
    ]
    for companion in others:  # first, as the file is ready once both are there
        bucket.copy_back(companion, f"{inbound}/{companion.rpartition('/')[2]}")
    bucket.copy_back(kept, row.object_key)
