"""Images of the local ECS: a JSON file each, in place of layers of a file system.

`<state>/images/<repository>/<tag>.json` holds `{"entrypoint", "command", "working_dir", "env"}`. `{home}` in
`working_dir` or a value of `env` is replaced by the container's own home folder. There is no registry: pulling an image
without such a file fails.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from data_platform.local_cloud.layout import write_atomically

_REFERENCE = re.compile(
    r"^(?P<repository>[\w.-]+(?::\d+)?(?:/[\w.-]+)*?)(?::(?P<tag>[\w.-]+))?(?:@(?P<digest>[\w:]+))?$"
)


class ImageMissing(Exception):
    """No such image. The message is worded as Fargate's agent does."""


@dataclass(frozen=True)
class LocalImage:
    """A command line, its folder and its environment. A task's own command replaces `command`."""

    entrypoint: tuple[str, ...]
    working_dir: str
    env: Mapping[str, str] = field(default_factory=dict)
    command: tuple[str, ...] = ()


def image_file(images: Path, reference: str) -> Path:
    """The file of an image such as `data-platform:local`. Raises ImageMissing for an invalid name."""
    parts = _REFERENCE.match(reference)
    if parts is None or ".." in reference:
        raise ImageMissing(f"CannotPullContainerError: invalid reference format: {reference}")
    return images / parts["repository"] / f"{parts['digest'] or parts['tag'] or 'latest'}.json"


def register(images: Path, reference: str, image: LocalImage) -> Path:
    """Add or replace an image. Running containers keep theirs."""
    path = image_file(images, reference)
    write_atomically(path, json.dumps(asdict(image), indent=1), mode=0o644)
    return path


def pull(images: Path, reference: str) -> LocalImage:
    """The image of that name. Raises ImageMissing."""
    try:
        fields = json.loads(image_file(images, reference).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ImageMissing(
            "CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref"
            f" {reference}: {reference}: not found"
        ) from None
    return LocalImage(
        entrypoint=tuple(fields.get("entrypoint") or ()),
        working_dir=fields["working_dir"],
        env=dict(fields.get("env") or {}),
        command=tuple(fields.get("command") or ()),
    )
