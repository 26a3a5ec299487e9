"""Secrets: every secret that the platform uses, made without a value. A person fills it in once
(`aws secretsmanager put-secret-value`; Snowflake's keys: `data-platform snowflake rotate-key`); a task that needs an
empty one doesn't start. The database's own secret is in `database`, where RDS fills it."""

from __future__ import annotations

from collections.abc import Mapping

import aws_cdk as cdk
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from data_platform.cli.secrets_seed import SMOKE_KEY
from data_platform.environment.connections import variable_of
from data_platform.feeds.connections import NeededConnection, needed_connections
from data_platform.feeds.partners import declares_smoke
from deploy.environment import DEFS, Environment


def has_smoke_test() -> bool:
    """Whether releases end with `data-platform smoke`. Without it there is no key: its secret would stay empty, and no
    one-off task would start."""
    return declares_smoke(DEFS)


def purposes(given: Environment) -> dict[str, str]:
    """Each secret's name, and what it is."""
    found = {
        "snowflake-private-key": "The private key (PEM, PKCS #8) with which loads sign in to Snowflake",
        "snowflake-dbt-private-key": "The private key of dbt's user in Snowflake",
        "snowflake-reader-private-key": "The private key of the user that reads marts, for reports",
        "sign-in-viewer": "The secret of the viewers' client in the identity provider",
        "sign-in-editor": "The secret of the editors' client in the identity provider",
    }
    if has_smoke_test():
        found[SMOKE_KEY] = "The private key (OpenSSH or PEM) of the partner smoke, for the test that ends a release"
    if given.code:
        found["code-token"] = "A token that may read the git repository"
        found["code-webhook-secret"] = "What the git server signs its webhook's calls with"
    for name, readers, system in connections():
        found[f"connection-{name}"] = f"{system.expected[0].upper()}{system.expected[1:]}, for {', '.join(readers)}"
    return found


def connections() -> list[NeededConnection]:
    """The connections that `defs.yaml` files need."""
    return needed_connections(DEFS)


def connection_variables() -> Mapping[str, str]:
    """The variable of each connection's secret."""
    return {f"connection-{each.name}": variable_of(each.name) for each in connections()}


class SecretsStack(cdk.Stack):
    """`arns` by secret name."""

    def __init__(self, scope: Construct, name: str, given: Environment, **options: object) -> None:
        super().__init__(scope, name, **options)
        self.arns: dict[str, str] = {}
        for secret, purpose in purposes(given).items():
            made = secretsmanager.CfnSecret(self, secret, name=f"{given.prefix}/{secret}", description=purpose)
            made.apply_removal_policy(cdk.RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE)
            self.arns[secret] = made.ref
