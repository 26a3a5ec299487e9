"""Key-pair sign-in: checks the token that a client signs with its private key.

See https://docs.snowflake.com/en/user-guide/key-pair-auth. A server without a registered key accepts every sign-in.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)

_ALGORITHMS = ["RS256", "ES256", "ES384", "ES512"]


class SignInRefused(Exception):
    """The registered key did not sign this token for this user."""


class RegisteredKey:
    """The public key of all users, from a PEM file; and a second one during a rotation, from a file beside it whose
    name ends with `.2`. Both may come, go and be replaced while the server runs."""

    def __init__(self, path: Path) -> None:
        self._paths = (path, path.with_name(f"{path.name}.2"))

    def check(self, token: str | None, user: str) -> None:
        """Raise SignInRefused unless `token` is fresh, names `user` and was signed with a registered key."""
        if not token:
            raise SignInRefused("no JWT")
        refused = SignInRefused("no key is registered")
        for path in self._paths:
            try:
                return self._check_one(path.read_bytes(), token, user)
            except FileNotFoundError:
                continue
            except SignInRefused as other:
                refused = other
        raise refused

    @staticmethod
    def _check_one(pem: bytes, token: str, user: str) -> None:
        key = load_pem_public_key(pem)
        der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        fingerprint = "SHA256:" + base64.b64encode(hashlib.sha256(der).digest()).decode("ascii")
        try:
            claims = jwt.decode(token, key, algorithms=_ALGORITHMS)  # type: ignore[arg-type]
        except jwt.PyJWTError as exc:
            raise SignInRefused(str(exc)) from exc
        issuer, subject = str(claims.get("iss", "")), str(claims.get("sub", ""))
        if issuer != f"{subject}.{fingerprint}" or not subject.endswith(f".{user.upper()}"):
            raise SignInRefused("the token names another user or key")
