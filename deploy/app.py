"""Puts the stacks of every environment together: `python -m deploy.app`, which `cdk` calls too (deploy/cdk.json).

    -c image=sha256:...    the image's digest in the environment's repository

Synthesis needs no account and no network. Stacks refer to each other in one direction:
storage -> network, secrets -> database -> roles -> cluster -> services -> access. The other stacks stand beside these.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import aws_cdk as cdk

from deploy.environment import Environment, environments
from deploy.stacks.access import AccessStack
from deploy.stacks.cluster import ClusterStack
from deploy.stacks.database import DatabaseStack
from deploy.stacks.network import NetworkStack
from deploy.stacks.observability import ObservabilityStack
from deploy.stacks.pipeline import PipelineStack
from deploy.stacks.roles import RolesStack
from deploy.stacks.secrets import SecretsStack
from deploy.stacks.services import ServicesStack
from deploy.stacks.sftp import SftpStack
from deploy.stacks.snowflake import SnowflakeStack
from deploy.stacks.storage import StorageStack

NO_IMAGE = f"sha256:{'0' * 64}"
"""The digest where none is given: to look at templates. ECS can't pull it."""


FLAGS = {
    "@aws-cdk/aws-s3:serverAccessLogsUseBucketPolicy": True,  # not by ACL, which the buckets refuse
    "@aws-cdk/core:enablePartitionLiterals": True,
}


def stacks_of(app: cdk.App, given: Environment, image: str) -> dict[str, cdk.Stack]:
    """Adds one environment's stacks to the app. Returns them by purpose."""

    def options() -> Any:
        return {
            "env": cdk.Environment(account=given.account, region=given.region),
            "termination_protection": given.name == "prod",
            "tags": {"data-platform:environment": given.name},
            "synthesizer": cdk.DefaultStackSynthesizer(qualifier=given.qualifier),  # takes one stack only
        }

    def name(purpose: str) -> str:
        return f"{given.prefix}-{purpose}"

    storage = StorageStack(app, name("storage"), given, **options())
    network = NetworkStack(app, name("network"), given, **options())
    network.add_stack_dependency(storage)  # which has the group of its flow logs
    secrets = SecretsStack(app, name("secrets"), given, **options())
    database = DatabaseStack(app, name("database"), given, network, storage.key, **options())
    arns = {**secrets.arns, "database": database.secret_arn}
    roles = RolesStack(app, name("roles"), given, storage.key.key_arn, arns, **options())
    cluster = ClusterStack(app, name("cluster"), given, network, database, arns, image, **options())
    cluster.add_stack_dependency(roles)
    services = ServicesStack(app, name("services"), given, network, database, cluster.cluster, arns, image, **options())
    observability = ObservabilityStack(app, name("observability"), given, storage.key, **options())
    observability.add_stack_dependency(services)  # it counts lines of the daemon's log
    return {
        "storage": storage,
        "network": network,
        "secrets": secrets,
        "database": database,
        "roles": roles,
        "cluster": cluster,
        "services": services,
        "access": AccessStack(app, name("access"), given, network, services, storage.access_logs, **options()),
        "sftp": SftpStack(app, name("sftp"), given, storage.key, storage.audit_logs["sftp"], **options()),
        "snowflake": SnowflakeStack(app, name("snowflake"), given, storage.key.key_arn, **options()),
        "observability": observability,
        "pipeline": PipelineStack(app, name("pipeline"), given, **options()),
    }


def build(found: Iterable[Environment], image: str | None = None, **options: Any) -> cdk.App:
    """The app with all stacks of these environments. `options`: those of `cdk.App`."""
    app = cdk.App(analytics_reporting=False, context=FLAGS, **options)
    for given in found:
        stacks_of(app, given, image or app.node.try_get_context("image") or NO_IMAGE)
    return app


if __name__ == "__main__":
    build(environments()).synth()
