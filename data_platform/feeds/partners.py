"""SFTP partners, as their `defs.yaml` declares them: the folder's name is the partner's, and each folder below it is
one of its feeds. The local cloud's provisioning and the AWS stacks make SFTP users of partners."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from data_platform.feeds.documents import Document
from data_platform.feeds.files import FileFeedDeclaration, FileFeedSpec, Quota
from data_platform.feeds.spec import SourceDeclaration

KEY_TYPES = frozenset(("ssh-rsa", "ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"))
"""What AWS Transfer Family accepts for a service-managed user."""
SMOKE = "smoke"
"""The partner as which `data-platform smoke` delivers, in a project that declares it."""


def _public_key(line: str) -> str:
    """The line without surrounding blanks. Raises ValueError for anything but a public key that AWS Transfer takes."""
    words = line.split()
    if len(words) >= 2 and words[0] in KEY_TYPES:
        try:
            blob = base64.b64decode(words[1], validate=True)
        except binascii.Error:
            blob = b""
        kind = words[0].encode()
        if blob.startswith(len(kind).to_bytes(4, "big") + kind) and len(blob) > len(kind) + 8:
            return line.strip()
    shown = "a PRIVATE key: remove it and make a new one" if "PRIVATE" in line else repr(line[:40])
    raise ValueError(
        f"{shown}; expected a line such as `ssh-ed25519 AAAA… name`, of one of {', '.join(sorted(KEY_TYPES))}"
    )


def declares_smoke(defs: Path) -> bool:
    """Whether the project with this `defs` folder declares the partner `smoke`. `deploy/release` looks for the same
    file."""
    return (defs / "sources" / "partners" / SMOKE / "defs.yaml").exists()


class PartnerDeclaration(SourceDeclaration):
    """The attributes of an SftpPartner's `defs.yaml`. `public_keys`: OpenSSH lines, whose owners may deliver. `quota`:
    how much may be pending."""

    public_keys: tuple[Annotated[str, AfterValidator(_public_key)], ...] = ()
    contacts: tuple[str, ...] = ()
    quota: Quota = Quota()

    def feeds(self, declared_in: Path) -> Iterator[tuple[Path, Callable[[], FileFeedSpec]]]:
        """Each feed is declared in a folder below the partner's."""
        return ((path, partial(self._feed, path)) for path in sorted(declared_in.parent.glob("*/defs.yaml")))

    def _feed(self, path: Path) -> FileFeedSpec:
        declared = Document.read(path).attributes(FileFeedDeclaration)
        # Already validated: validating again would double the time.
        return FileFeedSpec.model_construct(
            source=path.parent.parent.name,
            table=path.parent.name,
            declared_in=path,
            quota=self.quota,
            **self.inherited(declared),
        )
