"""The steps that remove a partner: its access, and all its feeds as `remove` does."""

from __future__ import annotations

from contextlib import suppress

import click

from data_platform.cli.change import Step
from data_platform.cli.feed.common_steps import dbt_sources_step, history_step
from data_platform.cli.feed.place import Place, shown
from data_platform.cli.feed.remove import (
    Feed,
    file_steps,
    folders_step,
    notes_of,
    pending_files,
    quarantine_step,
    table_steps,
)
from data_platform.feeds.partners import PartnerDeclaration
from data_platform.landing.client import transfer_client
from data_platform.landing.partners import delete_users, servers_of


def removal_of_partner(place: Place, partner: str, *, delete_kept: bool) -> tuple[list[Step], list[str]]:
    """The steps, and what is left to others. Raises click.UsageError and click.ClickException."""
    declared = {each.name: each for each in place.sources() if isinstance(each.declaration, PartnerDeclaration)}
    source = declared.get(partner)
    feeds = [Feed(partner, spec.table, spec) for spec in (source.feeds() if source else ())]
    place.require_no_run([(partner, feed.table) for feed in feeds])
    zone = source.declaration.time_zone if source else "UTC"
    by_feed = pending_files(place, partner, [feed.spec for feed in feeds if feed.spec is not None])
    folder = [source.declared_in.parent] if source else []
    declaration = folders_step(folder)
    of_their_files, kept = file_steps(place, feeds, delete_kept)
    steps = [
        _sftp_user(place, partner),
        *(quarantine_step(place, files_, partner, table, zone) for table, files_ in by_feed.items()),
        *table_steps(place, partner, feeds),
        *of_their_files,
        *(history_step(place, (partner, feed.table), None, f"Dagster's history of {feed.name}") for feed in feeds),
        declaration,
        dbt_sources_step(place, partner, declaration),
        _local_key(place, partner),
    ]
    if source is None and not any(step.lines for step in steps):
        raise click.UsageError(f"unknown partner {partner!r}; the partners are {', '.join(declared)}")
    return steps, notes_of(place, feeds, kept)


def _sftp_user(place: Place, partner: str) -> Step:
    """Ends the partner's access. AWS Transfer's DeleteUser takes the user's keys with it."""
    client = transfer_client(place.settings)
    servers = servers_of(client, place.settings.landing_bucket, partner)
    lines = [f"transfer:DeleteUser {partner} of server {server}, with its keys" for server in servers]
    return Step("SFTP user", lines, lambda: delete_users(client, servers, partner))


def _local_key(place: Place, partner: str) -> Step:
    """The developer's key for the partner, which the local cloud has made."""
    keys = place.settings.state_dir / "keys" / "partners"
    found = [file for file in (keys / partner, keys / f"{partner}.pub") if file.exists()]

    def apply() -> None:
        for file in found:
            with suppress(FileNotFoundError):
                file.unlink()

    return Step("local key", [f"delete {shown(file)}" for file in found], apply)
