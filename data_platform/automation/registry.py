"""Which schedules and sensors exist where. It fails closed: what isn't listed here for an environment isn't there,
and a name that nobody lists, or that nothing bears, stops the code location from loading."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from data_platform.environment import EnvironmentName

EVERYWHERE: frozenset[EnvironmentName] = frozenset(("local", "dev", "prod"))

AUTOMATION: Mapping[str, frozenset[EnvironmentName]] = {
    "landing": EVERYWHERE,
    "marts_follow_raw": EVERYWHERE,
    "city_daily_digest": EVERYWHERE,
    "daily": frozenset(("local", "prod")),
}


class RegistryError(Exception):
    """The registry and the automation there is don't agree; the message says which name to add or remove."""


def active(names: Iterable[str], environment: EnvironmentName) -> frozenset[str]:
    """Which of the sensors and schedules there are exist in an environment. Raises RegistryError."""
    there = set(names)
    unlisted, unborne = sorted(there - AUTOMATION.keys()), sorted(AUTOMATION.keys() - there)
    if unlisted:
        raise RegistryError(f"automation/registry.py doesn't say where these exist: {', '.join(unlisted)}")
    if unborne:
        raise RegistryError(f"automation/registry.py lists what there is not: {', '.join(unborne)}")
    return frozenset(name for name in there if environment in AUTOMATION[name])
