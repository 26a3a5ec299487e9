"""The doctor's probe of geocoders."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from data_platform.cli.doctor.finding import Finding
from data_platform.cli.project import DEFS
from data_platform.environment import Settings, SettingsError
from data_platform.environment.connections import variable_of

_ASKED = "1 MAIN STREET"


def geocoders(settings: Settings) -> Iterator[Finding]:
    """Asking each geocoder for one address. Its answer isn't kept."""
    from data_platform.automation.table_sources import geocoder
    from data_platform.extract.web.client import ApiFailed
    from data_platform.feeds.declared import declared_sources
    from data_platform.feeds.geocoded import GeocoderDeclaration

    for source in declared_sources(DEFS, GeocoderDeclaration):
        subject, variable = f"geocoder {source.name}", variable_of(source.declaration.connection)
        feeds: list[Any] = list(source.feeds())
        if not feeds:
            continue
        try:
            (answer,) = geocoder(feeds[0], settings, {}, attempts=1).ask([_ASKED])
        except SettingsError as error:
            yield Finding(subject, "failed", str(error), "set it; it is a secret")
        except ApiFailed as error:
            yield Finding(subject, "failed", " ".join(str(error).split()), f"check {variable}, and the network")
        else:
            yield Finding(subject, "ok", f"answers: {_ASKED} is {answer.status}")
