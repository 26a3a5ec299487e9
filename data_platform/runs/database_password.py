"""The password of Dagster's database, which RDS changes every week. A process knows the one that it started with; when
the database refuses it, the process reads the secret again and goes on. Nobody has to restart anything."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import psycopg2
from sqlalchemy import Engine, event
from sqlalchemy.engine import Dialect, make_url


@cache
def follow_password(postgres_url: str, secret_arn: str) -> None:
    """From now on, connections of this process to the URL's server, as its user, have the password of the secret in
    Secrets Manager once the URL's own is refused. `secret_arn`: RDS's secret, JSON with `password`. Connects to
    nothing."""
    url = make_url(postgres_url)
    rotated = RotatedPassword(url.host, url.username, lambda: _password(secret_arn))
    event.listen(Engine, "do_connect", rotated.connect)


class RotatedPassword:
    """Connects, and reads the password again when it is refused. `host`, `user`: whose password it is. `read` returns
    the current password."""

    def __init__(self, host: str | None, user: str | None, read: Callable[[], str]) -> None:
        self._host, self._user, self._read = host, user, read
        self._password: str | None = None

    def connect(
        self, dialect: Dialect, record: Any, arguments: Sequence[Any], parameters: Mapping[str, Any]
    ) -> Any | None:
        """A connection; None for another server or user, which SQLAlchemy then connects to. Raises psycopg2's
        OperationalError."""
        if (parameters.get("host"), parameters.get("user")) != (self._host, self._user):
            return None
        known = self._password or parameters.get("password")
        try:
            return dialect.connect(*arguments, **{**parameters, "password": known})
        except psycopg2.OperationalError:  # psycopg2 gives no code for a refused password, and the text is translated
            current = self._read()
            if current == known:
                raise
            self._password = current
            return dialect.connect(*arguments, **{**parameters, "password": current})


def _password(secret_arn: str) -> str:
    import boto3  # here: only a refused connection needs it

    client: Any = boto3.client("secretsmanager", region_name=secret_arn.split(":")[3])
    return str(json.loads(client.get_secret_value(SecretId=secret_arn)["SecretString"])["password"])
