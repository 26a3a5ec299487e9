"""The doctor's probe of web APIs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from data_platform.cli.doctor.finding import Finding
from data_platform.cli.project import DEFS
from data_platform.environment import Settings, SettingsError
from data_platform.environment.connections import variable_of


def web_apis(settings: Settings) -> Iterator[Finding]:
    """Asking each web API that feeds read for its tables and their fields, as a read does first."""
    from data_platform.automation.table_sources import api_client
    from data_platform.extract.web.client import ApiFailed
    from data_platform.extract.web.source import pages_of
    from data_platform.feeds.declared import declared_sources
    from data_platform.feeds.web_apis import WebDeclaration

    for source in declared_sources(DEFS, WebDeclaration):
        subject, variable = f"web API {source.name}", variable_of(source.declaration.connection)
        feeds: list[Any] = list(source.feeds())
        try:
            with api_client(feeds[0], settings, attempts=1) as client:
                found = [len(pages_of(feed, client).fields()) for feed in feeds]
        except SettingsError as error:
            yield Finding(subject, "failed", str(error), "set it; it is a secret")
        except ApiFailed as error:
            yield Finding(subject, "failed", " ".join(str(error).split()), f"check {variable}, and the network")
        else:
            yield Finding(subject, "ok", f"{client.api.name} shows {len(found)} tables with {sum(found)} fields")
