"""The local cloud's own keys, which the first `up` creates: Snowflake's key pair, PostgreSQL's passwords, and one key
pair per partner.

A partner declares its public keys in its `defs.yaml` and keeps the private ones. So that a developer can sign in as any
partner, `up` creates one more key pair for each in `.local/keys/partners/` and registers it. Only the local cloud does.
"""

from __future__ import annotations

import secrets
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from data_platform.local_cloud.layout import Layout, write_atomically


def snowflake_key_pair(layout: Layout) -> tuple[Path, Path]:
    """(private key as PKCS #8 PEM, public key as PEM), created if missing."""
    private, public = layout.keys / "snowflake.p8", layout.keys / "snowflake.pub"
    if not (private.exists() and public.exists()):
        key = generate_private_key(public_exponent=65537, key_size=2048)
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        write_atomically(private, pem.decode())
        spki = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        write_atomically(public, spki.decode(), mode=0o644)
    return private, public


def partner_public_key(layout: Layout, partner: str) -> str:
    """The OpenSSH public key line of the developer's key for a partner, created if missing.

    The private key is `.local/keys/partners/<partner>`: `sftp -i .local/keys/partners/<partner> …`.
    """
    private = layout.partner_keys / partner
    public = private.with_name(f"{partner}.pub")
    if not (private.exists() and public.exists()):
        key = Ed25519PrivateKey.generate()
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
        write_atomically(private, pem.decode())
        line = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
        write_atomically(public, f"{line} {partner}@local\n", mode=0o644)
    return public.read_text(encoding="utf-8").strip()


def sftp_host_key(layout: Layout) -> Path:
    """SFTP's private host key in OpenSSH's format, created if missing. A cloud of an earlier release keeps its key,
    which lay with the data."""
    path, earlier = layout.sftp_host_key, layout.data("aws") / "state" / "transfer-host-key"
    if not path.exists():
        made = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
        write_atomically(path, earlier.read_text(encoding="utf-8") if earlier.exists() else made.decode())
    return path


def reader_of(database: str) -> str:
    """The role by which the platform reads a source's database."""
    return f"{database}_reader"


def password(layout: Layout, role: str) -> str:
    """A PostgreSQL role's password, created if missing. It needs no quoting in a URL."""
    path = layout.keys / f"postgres.{role}"
    if not path.exists():
        write_atomically(path, secrets.token_hex(16))
    return path.read_text(encoding="utf-8").strip()


def web_api_key(layout: Layout, service: str) -> str:
    """The key that the double of a web API takes, created if missing. It needs no quoting in a URL."""
    path = layout.keys / f"web.{service}"
    if not path.exists():
        write_atomically(path, secrets.token_hex(16))
    return path.read_text(encoding="utf-8").strip()
