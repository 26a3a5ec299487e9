"""The keys of Snowflake's users. A user has two places for public keys, and both sign in, so a key is replaced in two
steps: give the user the new key beside the old one, and take the old one away when nothing uses it any longer
(docs.snowflake.com/en/user-guide/key-pair-auth#configuring-key-pair-rotation)."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any

from data_platform.contract import quoted
from data_platform.warehouse.bootstrap import described
from data_platform.warehouse.table import literal

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from snowflake.connector.cursor import DictCursor

PLACES = ("RSA_PUBLIC_KEY", "RSA_PUBLIC_KEY_2")
BITS = 3072


class RotationRefused(Exception):
    """The user's keys are not as this step expects. The message says what to do."""


def new_key() -> RSAPrivateKey:
    """A new private key."""
    from cryptography.hazmat.primitives.asymmetric import rsa

    return rsa.generate_private_key(65537, BITS)


def pem_of(key: RSAPrivateKey) -> str:
    """The private key as PEM (PKCS #8)."""
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def fingerprint_of(private_pem: bytes, passphrase: bytes | None = None) -> str:
    """The fingerprint of a private key's public half, as DESC USER shows it. Raises RotationRefused."""
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key: Any = load_pem_private_key(private_pem, passphrase)
    except (ValueError, TypeError):
        raise RotationRefused("the stored key is no PEM private key, or its passphrase is another") from None
    return _fingerprint(_der(key))


def add_key(cursor: DictCursor, user: str, key: RSAPrivateKey) -> str:
    """Gives the user the key beside its present one, and returns the place. Raises RotationRefused if both places are
    taken."""
    keys = keys_of(cursor, user)
    free = [place for place in PLACES if place not in keys]
    if not free:
        raise RotationRefused(
            f"{user} has two keys already: an earlier rotation is not finished. Finish it first, with `finish`"
        )
    public = base64.b64encode(_der(key)).decode()
    cursor.execute(f"ALTER USER {quoted(user)} SET {free[0]} = {literal(public)}")
    return free[0]


def remove_key(cursor: DictCursor, user: str, place: str) -> None:
    """Takes away the key in that place."""
    cursor.execute(f"ALTER USER {quoted(user)} UNSET {place}")


def key_to_remove(cursor: DictCursor, user: str, kept: str) -> str | None:
    """The place of the key that isn't the one with the fingerprint `kept`; None if the user has that one alone. Raises
    RotationRefused if the user doesn't have `kept`."""
    keys = keys_of(cursor, user)
    if kept not in keys.values():
        raise RotationRefused(
            f"{user} doesn't have the stored key ({kept}), so taking away another would lock it out. Begin again, with"
            " `begin`"
        )
    return next((place for place, fingerprint in keys.items() if fingerprint != kept), None)


def keys_of(cursor: DictCursor, user: str) -> dict[str, str]:
    """{place: fingerprint} of the user's keys."""
    found = described(cursor, f"DESC USER {quoted(user)}", "value")
    keys = {place: found.get(f"{place}_FP", "null") for place in PLACES}
    return {place: fingerprint for place, fingerprint in keys.items() if fingerprint != "null"}


def _der(key: RSAPrivateKey) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _fingerprint(der: bytes) -> str:
    return f"SHA256:{base64.b64encode(hashlib.sha256(der).digest()).decode()}"
