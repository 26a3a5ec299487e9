"""The connections that `defs/` needs: of sources and of publications, each by the name under which settings hold its
URL. Reads declarations only; whether a connection is set is the settings' matter."""

from __future__ import annotations

from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

from data_platform.environment.connections import WEB_API, System
from data_platform.feeds.declared import declaration_of
from data_platform.feeds.documents import Document
from data_platform.feeds.tables import TablesDeclaration


class NeededConnection(NamedTuple):
    """A connection: its name, who needs it, and what it has to lead to."""

    name: str
    readers: tuple[str, ...]
    system: System


def needed_connections(defs: Path) -> list[NeededConnection]:
    """Every connection that a `defs.yaml` names, by name and system. Raises DefinitionInvalid."""
    found: dict[tuple[str, str], tuple[System, list[str]]] = {}
    for path in sorted(defs.rglob("defs.yaml")):
        document = Document.read(path)
        model = declaration_of(document) or document.model()
        if "connection" not in model.model_fields:
            continue
        declared: Any = document.attributes(model)
        for system in _systems(declared, path):
            _, readers = found.setdefault((declared.connection, system.expected), (system, []))
            readers.append(path.parent.relative_to(defs).as_posix())
    return [
        NeededConnection(name, tuple(of), system)
        for (name, _), (system, of) in sorted(found.items(), key=itemgetter(0))
    ]


def _systems(declared: Any, path: Path) -> list[System]:
    if not isinstance(declared, TablesDeclaration):
        return [getattr(declared, "system", WEB_API)]
    by_form = {feed.connects_to.expected: feed.connects_to for feed in declared.specs(path)}
    return list(by_form.values()) or [declared.spec.system]
