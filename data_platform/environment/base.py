"""What groups of settings are made of: the base class, and marks of fields."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Port = Annotated[int, Field(ge=1, le=65535)]


@dataclass(frozen=True)
class Endpoint:
    """Marks a field with the address of a service; in `local` it must be on this machine. `needed`: the platform can't
    work without it."""

    needed: bool = True


@dataclass(frozen=True)
class InLocal:
    """Marks a field with its default in `local`, so that definitions load before the local cloud is up."""

    default: str


@dataclass(frozen=True)
class Named:
    """Marks a field of values by name, each with a variable of its own: NAME_ and the value's name in capitals."""

    prefix: str


class Group(BaseModel):
    """A frozen group of settings. Unless a field has an alias, its variable is the group's prefix and the field's name
    in capitals: `port` of SFTP_ is SFTP_PORT."""

    model_config = ConfigDict(frozen=True, extra="ignore")


def prefix(text: str) -> Callable[[str], str]:
    return lambda field: text + field.upper()
